"""Walls between the rooms: which module may import which, read from the syntax trees."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "horizon_ecs"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SANS_IO = [PACKAGE / "net" / f"{name}.py" for name in ("wire", "session", "lag", "limits", "clock")]
# Input, output, clocks and chance: a protocol core gets them as arguments.
OUTSIDE = {"asyncio", "socket", "time", "random", "secrets", "select", "selectors", "threading", "ssl"}
MAY_USE_ASYNCIO = {"bots.py", "host.py", "async_handlers.py"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, with full names."""
    package = ["horizon_ecs", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", sorted((PACKAGE / "systems").glob("*.py")), ids=name_of)
def test_systems_know_arrays_only(path):
    for module in imports(path):
        own = module.startswith(("horizon_ecs.systems", "horizon_ecs.kernel")) or module == "horizon_ecs"
        assert own or module.partition(".")[0] in ("numpy", "numba", "math", "__future__"), (
            f"{path.name} imports {module}"
        )


@pytest.mark.parametrize("path", [p for p in SANS_IO if p.exists()], ids=name_of)
def test_protocol_cores_do_no_io(path):
    for module in imports(path):
        top = module.partition(".")[0]
        if top == "horizon_ecs":
            allowed = (
                "horizon_ecs.errors",
                "horizon_ecs.config",
                "horizon_ecs.net.wire",
                "horizon_ecs.net.lag",
                "horizon_ecs.net.limits",
                "horizon_ecs.net.session",
            )
            assert module in ("horizon_ecs", "horizon_ecs.net") or module.startswith(allowed), (
                f"{path.name} imports {module}"
            )
        else:
            assert top == "msgpack" or top in sys.stdlib_module_names, f"{path.name} imports {module}"
            assert top not in OUTSIDE, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_policy_names_njit(path):
    names = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
    names |= {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
    assert path.name == "kernel.py" or not names & {"njit", "jit", "vectorize", "guvectorize", "cfunc"} - _jit_option(
        path
    )


def _jit_option(path: Path) -> set[str]:
    """`system.jit` is an option of ours, not Numba's."""
    return {"jit"} if path.name in ("checking.py", "declare.py", "runners.py") else set()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_asyncio_stays_in_the_adapters(path):
    adapter = path.parent.name == "net" and path not in SANS_IO
    if not adapter and path.name not in MAY_USE_ASYNCIO:
        assert not any(m.partition(".")[0] in ("asyncio", "websockets") for m in imports(path))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_core_does_not_know_the_network(path):
    core = (
        "world",
        "entities",
        "slots",
        "components",
        "columns",
        "query",
        "declare",
        "schedule",
        "tick_plan",
        "bound",
        "states",
        "when",
        "stage",
        "flowchart",
        "runners",
        "program",
        "rewrite",
        "replication",
        "replica",
        "schema",
    )
    if path.stem in core and path.parent == PACKAGE:
        assert not any(m.startswith("horizon_ecs.net") for m in imports(path))
