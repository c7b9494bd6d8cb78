"""Diff: what two worlds, or snapshots of them, differ in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.handles import handles_at
from horizon_ecs.notebook import SHOWN, html_table
from horizon_ecs.packing import pack
from horizon_ecs.snapshot_check import unpacked

if TYPE_CHECKING:
    from horizon_ecs.snapshot import Snapshot

_SHOWN = 5  # handles and values of each difference, in text


@dataclass(frozen=True, eq=False)
class FieldDiff:
    """A column's differences: `handles` uint64[n], and both sides' values as arrays of n."""

    handles: NDArray[np.uint64]
    left: NDArray[Any]
    right: NDArray[Any]

    def __len__(self) -> int:
        return len(self.handles)


@dataclass(eq=False)
class Diff:
    """What differs between two worlds: `left`, whose `diff` was called, and `right`, its argument.

    It is true where anything differs: exactly where the digests do.

    Attributes
    ----------
    only_left, only_right : uint64[n]
        Handles of entities that live in one of them only.
    fields : {"Component.field": FieldDiff}
        Of entities that have the component in both; values are compared bit by bit, so that NaN equals itself. Also
        "kind", "born" and "hidden".
    components : {"Component": (uint64[n], uint64[m])}
        Handles of entities that live in both and have the component in the left, or the right one, only.
    world : {name: (left, right)}
        All else: "tick", "seed", "rng" …, "Resource.field", "events/Event", "kinds", and "generations": the slots in
        which nothing lives, and that were given out a different number of times.
    """

    only_left: NDArray[np.uint64]
    only_right: NDArray[np.uint64]
    fields: dict[str, FieldDiff] = field(default_factory=dict)
    components: dict[str, tuple[NDArray[np.uint64], NDArray[np.uint64]]] = field(default_factory=dict)
    world: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        found = len(self.only_left) or len(self.only_right) or self.fields or self.components or self.world
        return bool(found)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self

    def __str__(self) -> str:
        return "\n".join(["The worlds differ:", *self._lines()]) if self else "The worlds are equal."

    def _lines(self) -> Iterator[str]:
        for side, handles in (("left", self.only_left), ("right", self.only_right)):
            if len(handles):
                yield f"  {len(handles):,} entities live in the {side} one only: {_shown(handles)}"
        for name, (left, right) in self.components.items():
            yield f"  {name}: {len(left):,} entities have it left only, {len(right):,} right only"
        for name, one in self.fields.items():
            yield f"  {name} differs in {len(one):,} entities"
            for handle, left, right in zip(one.handles[:_SHOWN], one.left, one.right, strict=False):
                yield f"    {int(handle):#x}: {left} | {right}"
            if len(one) > _SHOWN:
                yield "    …"
        for name, (left, right) in self.world.items():
            yield f"  {name}: {_cut(left)} | {_cut(right)}"

    def __repr__(self) -> str:
        if not self:
            return "Diff(equal)"
        names = [*self.components, *self.fields, *self.world]
        more = ", …" if len(names) > _SHOWN else ""
        return (
            f"Diff({len(self.only_left)} entities only left, {len(self.only_right)} only right; "
            f"{len(names)} differ: {', '.join(names[:_SHOWN])}{more})"
        )

    def _repr_html_(self) -> str:
        sides = (("entities only here", f"{len(self.only_left):,}", f"{len(self.only_right):,}"),)
        has = ((name, f"{len(a):,} have it", f"{len(b):,} have it") for name, (a, b) in self.components.items())
        values = (
            (f"{name} of {int(handle):#x}", left, right)
            for name, one in self.fields.items()
            for handle, left, right in zip(one.handles[:_SHOWN], one.left, one.right, strict=False)
        )
        rest = ((name, _cut(left), _cut(right)) for name, (left, right) in self.world.items())
        return html_table("Diff", ("", "left", "right"), itertools.chain(sides, has, values, rest), SHOWN)


def _shown(handles: NDArray[np.uint64]) -> str:
    return ", ".join(f"{int(h):#x}" for h in handles[:_SHOWN]) + (", …" if len(handles) > _SHOWN else "")


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def compare(left: Snapshot, right: Snapshot) -> Diff:
    """What two snapshots differ in."""
    n = max(len(left.generation), len(right.generation))
    sides = [_Side(left, n), _Side(right, n)]
    both = sides[0].alive & sides[1].alive & (sides[0].generation == sides[1].generation)
    only = [side.handles(side.alive & ~both) for side in sides]
    out = Diff(only[0], only[1])
    _compare_rows(out, sides, both)
    for name in sorted(left.has.keys() | right.has.keys()):
        has = [side.has(name) for side in sides]
        more = [side.handles(both & has[i] & ~has[1 - i]) for i, side in enumerate(sides)]
        if len(more[0]) or len(more[1]):
            out.components[name] = (more[0], more[1])
        _compare_columns(out, sides, name, both & has[0] & has[1])
        _compare_objects(out, sides, name, both & has[0] & has[1])
    _compare_world(out, left, right)
    dead: NDArray[np.bool_] = ~(sides[0].alive | sides[1].alive)
    slots = np.flatnonzero(dead & (sides[0].generation != sides[1].generation))
    if len(slots):
        out.world["generations"] = (sides[0].generation[slots], sides[1].generation[slots])
    if len(left.generation) != len(right.generation):
        out.world["slots used"] = (len(left.generation), len(right.generation))
    return out


class _Side:
    """A snapshot with its tables spread over as many slots as the longer of two has."""

    def __init__(self, snapshot: Snapshot, n: int) -> None:
        self.snapshot = snapshot
        self.n = n
        self.alive = self._spread(unpacked(snapshot.alive))
        self.hidden = self._spread(unpacked(snapshot.hidden))
        self.generation = self._spread(snapshot.generation)

    def _spread(self, array: NDArray[Any]) -> NDArray[Any]:
        out = np.zeros(self.n, array.dtype)
        out[: len(array)] = array
        return out

    def has(self, component: str) -> NDArray[np.bool_]:
        bits = self.snapshot.has.get(component)
        return np.zeros(self.n, np.bool_) if bits is None else self._spread(unpacked(bits))

    def handles(self, rows: NDArray[np.bool_]) -> NDArray[np.uint64]:
        slots = np.flatnonzero(rows)
        return handles_at(slots, self.generation)

    def kinds(self, rows: NDArray[np.bool_]) -> NDArray[Any]:
        names = np.array([*self.snapshot.kinds, ""])
        return names[self.snapshot.page_kind[np.flatnonzero(rows) // PAGE]]

    def values(self, name: str, has: NDArray[np.bool_], rows: NDArray[np.bool_]) -> NDArray[Any]:
        return self.snapshot.columns[name][rows[has]]


def _note(out: Diff, name: str, handles: NDArray[np.uint64], left: NDArray[Any], right: NDArray[Any]) -> None:
    differs = _bits(left) != _bits(right) if left.dtype == right.dtype else np.ones(len(left), np.bool_)
    if differs.any():
        out.fields[name] = FieldDiff(handles[differs], left[differs], right[differs])


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Values as whole numbers of the same bits; complex ones of 16 bytes, and texts, as they compare themselves."""
    raw = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}.get(values.dtype.itemsize)
    if values.dtype.kind == "U":
        return values
    return values.view(raw) if raw else values.view("S16")


def _compare_rows(out: Diff, sides: list[_Side], both: NDArray[np.bool_]) -> None:
    handles = sides[0].handles(both)
    born = [side.snapshot.born[both[side.alive]] for side in sides]
    _note(out, "kind", handles, sides[0].kinds(both), sides[1].kinds(both))
    _note(out, "born", handles, born[0], born[1])
    _note(out, "hidden", handles, sides[0].hidden[both], sides[1].hidden[both])


def _compare_columns(out: Diff, sides: list[_Side], component: str, rows: NDArray[np.bool_]) -> None:
    names = [[n for n in side.snapshot.columns if n.partition(".")[0] == component] for side in sides]
    for name in sorted({*names[0], *names[1]}):
        if name in names[0] and name in names[1]:
            left, right = (side.values(name, side.has(component), rows) for side in sides)
            _note(out, name, sides[0].handles(rows), left, right)


def _compare_objects(out: Diff, sides: list[_Side], component: str, rows: NDArray[np.bool_]) -> None:
    """Object components, field by field, by what a file would hold of them."""
    columns = [side.snapshot.objects.get(component) for side in sides]
    if columns[0] is None or columns[1] is None:
        return
    left, right = (
        list(itertools.compress(column, rows[side.has(component)]))
        for side, column in zip(sides, columns, strict=True)
        if column is not None
    )
    handles = sides[0].handles(rows)
    for name in sides[0].snapshot.object_fields[component]:
        pairs = [(a.get(name), b.get(name)) for a, b in zip(left, right, strict=True)]
        differs = [pack(a, name) != pack(b, name) for a, b in pairs]
        if any(differs):
            values = [_objects([pair[i] for pair in itertools.compress(pairs, differs)]) for i in (0, 1)]
            out.fields[f"{component}.{name}"] = FieldDiff(handles[differs], values[0], values[1])


def _objects(values: list[Any]) -> NDArray[Any]:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def _compare_world(out: Diff, left: Snapshot, right: Snapshot) -> None:
    """State, kinds, resources and events, as what a file would hold of them."""
    flat = []
    for s in (left, right):
        one: dict[str, Any] = dict(s.state)
        one |= {"kinds": s.kinds, "object fields": s.object_fields, **s.states}
        one["fields"] = {name: array.dtype.name for name, array in sorted(s.columns.items())}
        one |= {f"{name}.{f}": value for name, values in s.resources.items() for f, value in values.items()}
        one |= {f"events/{name}": batches for name, batches in s.events.items()}
        flat.append(one)
    for name in flat[0] | flat[1]:
        mine, theirs = (one.get(name) for one in flat)
        if pack(mine, name) != pack(theirs, name):
            out.world[name] = (mine, theirs)
