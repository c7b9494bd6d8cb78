"""What the package exports, and what its import costs."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import horizon_ecs

PACKAGE = Path(horizon_ecs.__file__).parent


def _typed_names() -> dict[str, str]:
    """The imports that a type checker sees: name to module."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If))
    return {alias.name: str(n.module) for n in block.body if isinstance(n, ast.ImportFrom) for alias in n.names}


def test_type_checkers_and_users_see_the_same_names():
    assert _typed_names() == horizon_ecs._MODULE_OF
    assert sorted([*_typed_names(), "__version__"]) == horizon_ecs.__all__


@pytest.mark.parametrize("name", sorted(horizon_ecs._MODULE_OF))
def test_every_name_loads(name):
    module = horizon_ecs._MODULE_OF[name]
    assert importlib.util.find_spec(module), f"{module} is missing"
    assert getattr(horizon_ecs, name) is getattr(importlib.import_module(module), name)
    assert name in dir(horizon_ecs)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Wrold'"):
        horizon_ecs.Wrold


def test_the_import_is_light():
    code = "import sys, horizon_ecs; print([m for m in ('numba', 'numpy', 'asyncio', 'websockets', 'rich') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_declaring_components_needs_no_compiler():
    code = (
        "import sys, horizon_ecs as hz\n"
        "@hz.component\nclass P:\n    x: hz.f4\n"
        "hz.Kind('K', P, layers=[hz.Layer(0, 1.0, 1.0, [P])])\n"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
