"""Objects of GORC's: components as instances, of a kind that a class names; and what is read of what users give."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.components import is_component
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.kinds import Kind


class GorcObject:
    """An object to be registered: components as instances, of a kind that its class names.

    `class Asteroid(hz.GorcObject, kind=Rock)`; then `Asteroid(Ore(iron=5))`. What isn't given takes its default; a
    class may take other arguments in an `__init__` of its own and hand components on.

    Parameters
    ----------
    *values : instances of the kind's components, or its tags

    Raises
    ------
    DefinitionError
        The class names no kind.
    ArgumentError
        A value isn't of the kind's components, or there are two of one.
    """

    kind: ClassVar[Kind]
    values: tuple[Any, ...] = ()

    def __init_subclass__(cls, kind: Kind | None = None) -> None:
        if kind is not None:
            if not isinstance(kind, Kind):
                raise DefinitionError(f"class {cls.__name__}: kind= takes a Kind, not {kind!r}")
            cls.kind = kind

    def __init__(self, *values: Any) -> None:
        kind = kind_of(type(self))
        known = kind.components + kind.optional
        given = [v if isinstance(v, type) else type(v) for v in values]
        for value, c in zip(values, given, strict=True):
            if not is_component(c) or c not in known or given.count(c) > 1:
                raise ArgumentError(
                    f"{type(self).__name__} takes components of kind {kind.name!r}, each once "
                    f"({[c.__name__ for c in known]}), not {value!r}"
                )
        self.values = values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.values))})"


def kind_of(given: Any) -> Kind:
    """The kind of a class of objects, or the kind itself."""
    kind = getattr(given, "kind", None) if isinstance(given, type) and issubclass(given, GorcObject) else given
    if not isinstance(kind, Kind):
        raise DefinitionError(f"{given!r} has no kind: declare class Asteroid(hz.GorcObject, kind=Rock)")
    return kind


def only(kind: Kind, channel: int) -> Kind:
    """A kind of the same components with one of its layers."""
    layers = [layer for layer in kind.layers if layer.channel == channel]
    if not layers:
        raise ArgumentError(
            f"kind {kind.name!r} has no layer of channel {channel!r}; it has {[layer.channel for layer in kind.layers]}"
        )
    defaults = [c if value is True else value for c, value in kind.defaults.items()]
    return Kind(
        f"{kind.name}@{channel}", *kind.components, optional=kind.optional, layers=layers, defaults=defaults
    )  # fmt: skip


def point(position: ArrayLike) -> NDArray[np.float32]:
    """A position or several. Raises ArgumentError."""
    given = np.asarray(position)
    if given.dtype.kind not in "iuf" or given.ndim not in (1, 2) or given.shape[-1] not in (2, 3):
        raise ArgumentError(f"position must be two or three numbers, or a row of them each, not {position!r}")
    if not np.isfinite(given).all():
        raise ArgumentError(f"position must be finite, not {position!r}")
    return given.astype(np.float32)
