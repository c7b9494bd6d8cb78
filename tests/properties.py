"""Properties that take long: by few examples in the default run, by many in the slow one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from horizon_ecs import kernel


def few_or_many(*, few: int, many: int, **strategies: Any) -> Callable[[Callable[..., None]], Callable[[int], None]]:
    """Like `given`: a test by `few` examples, and a slow one by `many`; by one alone where kernels are interpreted."""
    sizes = [few, pytest.param(many, marks=pytest.mark.slow)] if kernel.jit_enabled() else [1]

    def decorate(holds: Callable[..., None]) -> Callable[[int], None]:
        @pytest.mark.parametrize("n_examples", sizes)
        def test(n_examples: int) -> None:
            examples = settings(
                max_examples=n_examples, deadline=None, derandomize=True, database=None,
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            examples(given(**strategies)(holds))()

        test.__name__, test.__qualname__, test.__doc__ = holds.__name__, holds.__qualname__, holds.__doc__
        test.__module__ = holds.__module__
        return test

    return decorate
