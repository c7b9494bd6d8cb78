"""Write the reference, docs/api/*.md, from the docstrings: `python -m docs.make_api`.

Only the interpreter's own tools are used, so that the pages are the same wherever they are made.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import horizon_ecs as hz

API = Path(__file__).resolve().parent / "api"
MAX_LINE = 100


@dataclasses.dataclass(frozen=True)
class Topic:
    """A page of the reference.

    Attributes
    ----------
    modules : str
        Whose public names stand here, in this order.
    more : str
        What isn't in `horizon_ecs` itself but comes out of what is: "module.Name".
    """

    page: str
    title: str
    about: str
    modules: str
    more: str = ""


TOPICS = [
    Topic(
        "components", "Components", "Components, tags, resources and events, and the types of their fields.",
        "components fields vectors", "fields.Field events.EventBatch",
    ),
    Topic(
        "worlds", "Worlds and kinds", "Worlds, kinds, spawning and despawning, handles, statistics.",
        "world kinds compaction inspection", "inspection.Inspection stats.WorldStats stats.Timing",
    ),
    Topic(
        "queries", "Queries", "Which entities have what, and their values as tables.",
        "query tables", "batches.Batch tables.Groups neighbours.Near",
    ),
    Topic(
        "systems", "Systems", "Systems, what their parameters ask for, and the schedule that runs them.",
        "declare groups when access commands parameters events lookup random checking", "schedule.Schedule",
    ),
    Topic(
        "relations", "Relations", "What ties one entity to another, and hierarchies.",
        "relations hierarchy transform related",
    ),
    Topic("changes", "Changes", "What changed since when.", "changes tracking", "changes.Subscription"),
    Topic(
        "snapshots", "Snapshots", "Saving, loading, copying and comparing worlds.",
        "snapshot copying diff restore migrate",
    ),
    Topic(
        "replication", "Replication", "Who is told what, the server, and its clients.",
        "replication adaptive visibility replica dissection capacity gorc gorc_objects config net.server "
        "net.players net.rules tokens net.client",
        "explain.Explanation explain.ChannelExplanation explain.GroupExplanation explain.Reason meter.ByteMeter "
        "meter.BytesBy capacity.CapacityPlan capacity.CapacityCheck capacity.Costs capacity.Scene load.Load "
        "gorc.GorcStats dissection.Part dissection.Dissector testing.serving net.listening.Reloaded",
    ),
    Topic(
        "events", "Events and plugins", "Who is called for what happens in a server, by Horizon's names.",
        "event_system handlers plugins plugin_host",
        "plugin_host.PluginStats handlers.HandlerStats topics.EventStats core_events.ClientEvent "
        "core_events.RegionStarted core_events.ServerTick core_events.PlayerConnected core_events.PlayerDisconnected "
        "core_events.AuthStatusChanged core_events.ZoneEnter core_events.ZoneExit",
    ),
    Topic(
        "clients", "Clients", "What a game needs at the other end: time, smooth motion, prediction.",
        "net.clock net.link callbacks interpolation prediction",
    ),
    Topic(
        "recordings", "Recordings", "What clients are told, in a file, and out of it again.",
        "recorder recording playing net.playback feeding",
    ),
    Topic(
        "monitoring", "Monitoring", "What a running server is doing: metrics, reports, alerts.",
        "monitor.collector monitor.monitor monitor.thresholds monitor.report monitor.process",
        "monitor.durations.Duration monitor.report.EventReport monitor.report.EventLine "
        "monitor.report.ReplicationReport monitor.report.MemoryReport monitor.report.NetworkReport "
        "monitor.report.ConnectionReport monitor.report.PluginLine monitor.counted.CountsEvents "
        "monitor.counted.EventCounts monitor.counted.HandlerCounts monitor.counted.CountsPlugins "
        "monitor.counted.PluginCounts net.administered.SessionInfo",
    ),
    Topic("errors", "Errors", "Everything that is raised on purpose.", "errors"),
]  # fmt: skip


# What other modules of ours call and nobody else should.
INTERNAL = {
    "World": "settle relate_late freeze_kinds bit arrays_of n_pages_used tick_now",
    "Query": "asked_of wording masks question fits signature take pages segments segments_in",
    "Group": "says_nothing",
    "Emit": "records clear",
    "EventSystem": "tell_batch has_handlers resume pause receive owned_by link refuse_core",
    "Plugins": "register_systems register_handlers begin end check",
    "Handler": "stats took lost failed",
    "Random": "of_system",
    "Schedule": "add remove enable isolate follow check run run_now",
    "Subscription": "failed is_over",
    "Timing": "note",
    "MetricsCollector": "attach",
    "GorcSystem": "sample",
    "Server": "sample",
}


# -- what there is to say ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Method:
    """A public method or property: what it is called and where it comes from."""

    name: str
    value: Any


def methods(cls: type) -> list[Method]:
    """The public methods and properties of a class, its own first, and special ones that say what they do."""
    found: dict[str, Any] = {}
    for one in cls.__mro__:
        if not one.__module__.startswith("horizon_ecs"):
            continue
        for name, value in vars(one).items():
            plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if not (inspect.isfunction(plain) or isinstance(plain, property)):
                continue
            special = name.startswith("__") and name != "__init__" and bool(getattr(plain, "__doc__", None))
            if not name.startswith("_") or (special and plain.__module__.startswith("horizon_ecs")):
                found.setdefault(name, plain)
    hidden = INTERNAL.get(cls.__name__, "").split()
    if strange := [name for name in hidden if name not in found]:
        raise LookupError(f"{cls.__name__} has no {strange}, which INTERNAL lists")
    return [Method(name, value) for name, value in found.items() if name not in hidden]


def public(name: str) -> Any:
    """What a public name stands for; of a declared system the function."""
    value = getattr(hz, name)
    return value.function if isinstance(value, hz.System) else value


def explanation(name: str) -> str:
    """What a public name is: its docstring, that of its assignment, or what its dtype says."""
    value = public(name)
    if isinstance(value, type) or inspect.isfunction(value):
        return inspect.getdoc(value) or ""
    written = _written_below(importlib.import_module(hz._MODULE_OF[name])).get(name, "")
    if written or typing.get_origin(value) is not typing.Annotated:
        return written
    dtypes = [extra for extra in typing.get_args(value)[1:] if isinstance(extra, np.dtype)]
    if not dtypes:
        return ""
    base, shape = dtypes[0].base, dtypes[0].shape
    return f"A field of {shape[0]} × {base.name}." if shape else f"A field of {base.name}."


def _written_below(module: Any) -> dict[str, str]:
    """The strings that stand below assignments, by the name that is assigned."""
    body = ast.parse(inspect.getsource(module)).body
    found: dict[str, str] = {}
    for one, after in itertools.pairwise(body):
        if isinstance(one, ast.AnnAssign | ast.Assign) and isinstance(after, ast.Expr):
            target = one.target if isinstance(one, ast.AnnAssign) else one.targets[0]
            if isinstance(target, ast.Name) and isinstance(after.value, ast.Constant):
                found[target.id] = inspect.cleandoc(str(after.value.value))
    return found


# -- signatures ----------------------------------------------------------------------------------------------------


def signature(name: str, value: Any) -> str:
    """What may be called with what, as the source says it; on lines of their own where they don't fit on one."""
    overloads = typing.get_overloads(value) if inspect.isfunction(value) else []
    function: Any = overloads[-1] if overloads else value
    returns = ""
    if isinstance(value, type) and not inspect.isfunction(vars(value).get("__init__")):
        parameters: list[str] | None = [] if value.__init__ is object.__init__ else None
    elif dataclasses.is_dataclass(value) and _source_of(value.__init__) is None:
        parameters = list(_generated(value))
    else:
        node = _source_of(value.__init__ if isinstance(value, type) else function)
        parameters = _parameters(node.args)
        if isinstance(value, type) or (parameters and parameters[0] in ("self", "cls")):
            del parameters[0]
        returns = f" -> {_unparse(node.returns)}" if node.returns and not isinstance(value, type) else ""
    if parameters is None:
        return ""
    one = f"{name}({', '.join(parameters)}){returns}"
    return one if len(one) <= MAX_LINE else f"{name}(\n" + "".join(f"    {p},\n" for p in parameters) + f"){returns}"


def _source_of(function: Callable[..., Any]) -> Any:
    """The definition of a function; None for one that a decorator wrote."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError):
        return None


def _parameters(of: ast.arguments) -> list[str]:
    plain = [*of.posonlyargs, *of.args]
    defaults = [None] * (len(plain) - len(of.defaults)) + list(of.defaults)
    out = [_parameter(a, d) for a, d in zip(plain, defaults, strict=True)]
    if of.posonlyargs:
        out.insert(len(of.posonlyargs), "/")
    if of.vararg:
        out.append("*" + _parameter(of.vararg, None))
    elif of.kwonlyargs:
        out.append("*")
    out += [_parameter(a, d) for a, d in zip(of.kwonlyargs, of.kw_defaults, strict=True)]
    return out + (["**" + _parameter(of.kwarg, None)] if of.kwarg else [])


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    typed = f"{argument.arg}: {_unparse(argument.annotation)}" if argument.annotation else argument.arg
    if default is None:
        return typed
    shown = "..." if isinstance(default, ast.Name) and default.id.startswith("_") else _unparse(default)
    return f"{typed} = {shown}" if argument.annotation else f"{typed}={shown}"


def _unparse(node: ast.expr) -> str:
    return ast.unparse(node).replace("'", '"')


def _generated(cls: type) -> Iterator[str]:
    """The parameters of a dataclass's constructor, in which factories say `...`."""
    for one in (f for f in dataclasses.fields(cls) if f.init and not f.name.startswith("_")):
        default = "" if one.default is dataclasses.MISSING else f" = {one.default!r}".replace("'", '"')
        default = " = ..." if one.default_factory is not dataclasses.MISSING else default
        yield f"{one.name}: {one.type if isinstance(one.type, str) else one.type.__name__}{default}"


# -- pages ---------------------------------------------------------------------------------------------------------


def markdown(doc: str) -> str:
    """A docstring with NumPy's sections as Markdown."""
    lines = doc.splitlines()
    out: list[str] = []
    in_section = False
    for number, line in enumerate(lines):
        after = lines[number + 1] if number + 1 < len(lines) else ""
        if re.fullmatch(r"-{3,}", line):
            continue
        if re.fullmatch(r"-{3,}", after):
            in_section = True
            out += [f"**{line}**", ""]
        elif in_section and line and not line.startswith(" "):
            name, colon, rest = line.partition(" : ")
            out.append(f"- `{name}`{colon}{rest}" if _is_item(name, colon) else line)
        elif in_section or not line.startswith("    "):
            out.append(line.replace("    ", "  ", 1) if line.startswith("    ") else line)
        else:
            out += ([""] if out and not out[-1].startswith((" ", "-")) else []) + [line[4:]]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def _is_item(name: str, colon: str) -> bool:
    """Whether a line of a section names something, or is a sentence."""
    return bool(colon) or (not name.endswith(".") and all(len(word.split()) == 1 for word in name.split(", ")))


def _entry(name: str, value: Any, doc: str) -> Iterator[str]:
    yield f"## `{name}`"
    if isinstance(value, type) or inspect.isfunction(value):
        yield _code(signature(name, value))
    yield markdown(doc)
    for method in methods(value) if isinstance(value, type) else ():
        of = f"{name}.{method.name}"
        is_property = isinstance(method.value, property)
        yield f"### `{of}`"
        yield "" if is_property else _code(signature(of, method.value))
        yield ("A property. " if is_property else "") + markdown(inspect.getdoc(method.value) or "")


def _code(text: str) -> str:
    return f"```python\n{text}\n```" if text else ""


def _page(topic: Topic, names: list[str]) -> str:
    parts = [f"# {topic.title}", topic.about, "Made from the docstrings by `make docs`; `hz` is `horizon_ecs`."]
    types = [name for name in names if explanation(name).startswith("A field of")]
    for name in names:
        if name not in types:
            parts += _entry(f"hz.{name}", public(name), explanation(name))
    if types:
        rows = [f"| `hz.{name}` | {explanation(name).removeprefix('A field of ').rstrip('.')} |" for name in types]
        parts += ["## Types of fields", "\n".join(["| name | columns |", "| --- | --- |", *rows])]
    for dotted in topic.more.split():
        module, _, name = dotted.rpartition(".")
        value = getattr(importlib.import_module(f"horizon_ecs.{module}"), name)
        parts += _entry(f"horizon_ecs.{module}.{name}", value, inspect.getdoc(value) or "")
    return "\n\n".join(part for part in parts if part) + "\n"


def make() -> dict[str, str]:
    """The pages: file name to text."""
    topic_of = {module: topic for topic in TOPICS for module in topic.modules.split()}
    by_topic: dict[str, list[str]] = {topic.page: [] for topic in TOPICS}
    for module in topic_of:
        of_module = [n for n in hz.__all__ if hz._MODULE_OF.get(n) == f"horizon_ecs.{module}"]
        by_topic[topic_of[module].page] += sorted(of_module, key=lambda n: (not n[0].isupper(), n))
    missing = {n for n in hz.__all__ if n != "__version__"}.difference(*by_topic.values())
    if missing:
        raise LookupError(f"no topic of docs/make_api.py lists the modules of {sorted(missing)}")
    return {f"{t.page}.md": _page(t, by_topic[t.page]) for t in TOPICS if by_topic[t.page] or t.more}


def main() -> None:
    """Write the pages, and remove those that aren't made any more."""
    API.mkdir(exist_ok=True)
    pages = make()
    for old in API.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (API / name).write_text(text)


if __name__ == "__main__":
    main()
