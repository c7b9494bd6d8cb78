"""Migrate: changes of a snapshot's schema, by its caller and then up to what classes declare."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, fields_of, is_object, nearest
from horizon_ecs.errors import ArgumentError, SnapshotError
from horizon_ecs.fields import Field
from horizon_ecs.handles import slots_in
from horizon_ecs.kinds import Kind
from horizon_ecs.object_store import object_names
from horizon_ecs.snapshot_check import check, demand, unpacked
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.restore import Classes, Migration
    from horizon_ecs.snapshot import Snapshot


# -- what a migration says ---------------------------------------------------------------------------------------------


def _known(what: str, name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise ArgumentError(f"the snapshot has no {what} {name!r}; it has {list(names)}{nearest(name, names)}")


def _free(what: str, name: str, names: Mapping[str, Any]) -> None:
    if name in names:
        raise ArgumentError(f"the snapshot has a {what} {name!r} already")


def _moved(table: dict[str, Any], old: str, new: str) -> None:
    """Give what belongs to a component or field another name, in its place."""
    renamed = {
        new + name.removeprefix(old) if name == old or name.startswith(f"{old}.") else name: value
        for name, value in table.items()
    }
    table.clear()
    table.update(renamed)


def rename(s: Snapshot, old: str, new: str) -> None:
    """See `Snapshot.rename`."""
    if "." in old:
        _known("field", old, s.columns)
        _free("field", new, s.columns)
        if old.partition(".")[0] != new.partition(".")[0] or "." not in new:
            raise ArgumentError(f"{old!r} stays a field of its component, which {new!r} is not")
    else:
        _known("component", old, s.has)
        _free("component", new, s.has)
        if "." in new:
            raise ArgumentError(f"a component's name has no dot: {new!r}")
        for kind in s.kinds.values():
            for role, names in kind.items():
                kind[role] = sorted(new if name == old else name for name in names)
    for table in (s.has, s.columns, s.units, s.enums, s.objects, s.object_fields):
        _moved(table, old, new)


def rename_kind(s: Snapshot, old: str, new: str) -> None:
    """See `Snapshot.rename_kind`."""
    _known("kind", old, s.kinds)
    _free("kind", new, s.kinds)
    _with_kinds(s, {new if name == old else name: (name, shape) for name, shape in s.kinds.items()})


def _with_kinds(s: Snapshot, kinds: Mapping[str, tuple[str, dict[str, list[str]]]]) -> None:
    """Let the kinds be these, each with the name that it had; sorted by name, with the pages' numbers to match."""
    before, after = list(s.kinds), sorted(kinds)
    numbers = np.full(len(before) + 1, storage.FREE_PAGE, np.int16)
    for number, name in enumerate(after):
        numbers[before.index(kinds[name][0])] = number
    s.page_kind = numbers[s.page_kind]
    s.kinds = {name: kinds[name][1] for name in after}


def drop(s: Snapshot, name: str, kind: str | None) -> None:
    """See `Snapshot.drop`."""
    if "." in name:
        _known("field", name, s.columns)
        if kind is not None:
            raise ArgumentError(f"the field {name!r} is one column of all kinds; drop it without kind=")
        for table in (s.columns, s.units, s.enums):
            table.pop(name, None)  # type: ignore[attr-defined]
        return
    _known("component", name, s.has)
    if kind is not None:
        _known("kind", kind, s.kinds)
    for owner, shape in s.kinds.items():
        if kind in (None, owner):
            _keep(s, name, ~of_kind(s, owner))
            for role, names in shape.items():
                shape[role] = [other for other in names if other != name]
    _forget_unlisted(s)


def drop_kind(s: Snapshot, name: str) -> None:
    """See `Snapshot.drop_kind`."""
    _known("kind", name, s.kinds)
    gone, alive = of_kind(s, name), unpacked(s.alive)
    for component in s.has:
        _keep(s, component, ~gone)
    s.born = s.born[~gone[alive]]
    ended = s.generation[gone & alive]
    s.generation[gone & alive] = np.where(ended == storage.MAX_GENERATION, 1, ended + 1)
    s.alive = np.packbits(alive & ~gone, bitorder="little")
    s.hidden = np.packbits(unpacked(s.hidden) & ~gone, bitorder="little")
    _with_kinds(s, {other: (other, shape) for other, shape in s.kinds.items() if other != name})
    _forget_unlisted(s)


def of_kind(s: Snapshot, name: str) -> NDArray[np.bool_]:
    """bool[n]: the slots of a kind's pages."""
    return np.repeat(s.page_kind == list(s.kinds).index(name), PAGE)


def _keep(s: Snapshot, component: str, kept: NDArray[np.bool_]) -> None:
    """Take a component from the slots that aren't kept."""
    has = unpacked(s.has[component])
    for name in columns_of(s, component):
        s.columns[name] = s.columns[name][kept[has]]
    if component in s.objects:
        s.objects[component] = list(itertools.compress(s.objects[component], kept[has]))
    s.has[component] = np.packbits(has & kept, bitorder="little")


def columns_of(s: Snapshot, component: str) -> list[str]:
    """The names of a component's columns."""
    return [name for name in s.columns if name.partition(".")[0] == component]


def _forget_unlisted(s: Snapshot) -> None:
    """Forget components that no kind lists and no entity has."""
    listed = {name for shape in s.kinds.values() for names in shape.values() for name in names}
    for component in [name for name in s.has if name not in listed and not s.has[name].any()]:
        for name in columns_of(s, component):
            drop(s, name, None)
        del s.has[component]
        s.objects.pop(component, None)
        s.object_fields.pop(component, None)


# -- what follows from the classes -------------------------------------------------------------------------------------


def migrated(snapshot: Snapshot, classes: Classes, migrate: Migration) -> Snapshot:
    """What `migrate` makes of a snapshot, with defaults where it lacks what the classes declare.

    Raises
    ------
    SnapshotError
        Something is left that the classes don't know.
    """
    s = migrate(snapshot)
    if not isinstance(s, type(snapshot)):
        raise ArgumentError(f"migrate returns the snapshot that it was given, or another; not {s!r}")
    for name in list(s.kinds):
        hint = "; use snapshot.rename_kind or drop_kind"
        demand(name in classes.kinds, f"kind {name!r} is not among kinds={list(classes.kinds)}{hint}")
        _fit_kind(s, name, classes.kinds[name])
    _forget_unlisted(s)
    for name in s.has:
        _fit_fields(s, classes.components[name])
        _fit_objects(s, classes.components[name])
    for name, values in s.resources.items():
        demand(name in classes.resources, f"resource {name} is not known; del snapshot.resources[{name!r}] drops it")
        s.resources[name] = _fit_resource(name, values, classes.resources[name])
    for name, batches in s.events.items():
        demand(name in classes.events, f"event {name} is not known; del snapshot.events[{name!r}] drops it")
        for columns in batches.values():
            _fit_event(columns, classes.events[name])
    check(s)
    return s


def _fit_kind(s: Snapshot, name: str, kind: Kind) -> None:
    """Give a kind's entities what they lack, and refuse what they have too much."""
    slots = of_kind(s, name)
    named = {c.__name__: c for c in kind.components + kind.optional}
    for component, bits in s.has.items():
        n = np.count_nonzero(unpacked(bits) & slots)
        demand(
            component in named or n == 0,
            f"{n} entities of kind {name!r} have {component}, which it doesn't know; "
            f"use snapshot.rename or drop({component!r}, kind={name!r})",
        )
    alive = unpacked(s.alive)
    for component, c in named.items():
        has = unpacked(s.has[component]) if component in s.has else np.zeros(len(alive), np.bool_)
        more = alive & slots & ~has if c in kind.components else np.zeros(len(alive), np.bool_)
        _give(s, c, has, more)
    s.kinds[name] = {
        "components": sorted(c.__name__ for c in kind.components),
        "optional": sorted(c.__name__ for c in kind.optional),
    }


def _give(s: Snapshot, c: Component, has: NDArray[np.bool_], more: NDArray[np.bool_]) -> None:
    """Let more slots have a component, with its defaults."""
    then = has | more
    fields = {f"{c.__name__}.{f.name}": f for f in fields_of(c)}
    for name in columns_of(s, c.__name__):
        old = s.columns[name]
        demand(len(old) == np.count_nonzero(has), f"{name} has {len(old)} values, not {np.count_nonzero(has)}")
        default = np.asarray(fields[name].default if name in fields else 0).astype(old.dtype)
        s.columns[name] = np.full(np.count_nonzero(then), default, old.dtype)
        s.columns[name][has[then]] = old
    s.has[c.__name__] = np.packbits(then, bitorder="little")
    if is_object(c):
        kept = iter(s.objects.get(c.__name__, []))
        s.objects[c.__name__] = [next(kept) if old else {} for old in has[then]]


def _fit_fields(s: Snapshot, c: Component) -> None:
    fields = {f"{c.__name__}.{f.name}": f for f in fields_of(c)}
    for name in columns_of(s, c.__name__):
        demand(name in fields, f"{name} is no field of {c.__name__}; use snapshot.rename or drop")
    rows = np.count_nonzero(unpacked(s.has[c.__name__]))
    for name, f in fields.items():
        if name in s.columns:
            s.columns[name] = _cast(name, np.asarray(s.columns[name]), f.dtype)
        else:
            s.columns[name] = np.full(rows, f.default, f.dtype)
        if f.is_entity:
            s.columns[name] = np.where(_lives(s, s.columns[name]), s.columns[name], np.uint64(0))
        _set_or_pop(s.units, name, f.unit)
        _set_or_pop(s.enums, name, f.members)


def _fit_objects(s: Snapshot, c: Component) -> None:
    name = c.__name__
    if not is_object(c):
        demand(name not in s.objects, f"{name} was an object component; use snapshot.drop")
        return
    s.object_fields[name] = object_names(c)
    for number, values in enumerate(s.objects[name]):
        for extra in sorted(values.keys() - s.object_fields[name]):
            raise SnapshotError(
                f"{name}.{extra} is no field of {name}; take it out of every map of snapshot.objects[{name!r}]"
            )
        fresh = c()
        s.objects[name][number] = {f: values[f] if f in values else getattr(fresh, f) for f in s.object_fields[name]}


def _set_or_pop(table: dict[str, Any], name: str, value: Any) -> None:
    table.pop(name, None)
    if value:
        table[name] = value


def _lives(s: Snapshot, handles: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """bool[n]: whether each handle's entity is in the snapshot."""
    slots = slots_in(handles)
    inside = slots < len(s.generation)
    rows = np.where(inside, slots, 0)
    if not len(s.generation):
        return inside
    lives: NDArray[np.bool_] = inside & unpacked(s.alive)[rows] & (s.generation[rows] == handles >> np.uint64(32))
    return lives


def _cast(name: str, old: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A column in another dtype that holds its values unchanged. Raises SnapshotError where that one doesn't."""
    if old.dtype == dtype:
        return old
    try:
        with np.errstate(all="ignore"):
            new = old.astype(dtype)
            same = bool(((new == old) | ((new != new) & (old != old))).all())
    except (TypeError, ValueError):
        same = False
    if not same:
        raise SnapshotError(
            f"{name} is stored as {old.dtype}, and {dtype} doesn't hold its values; convert it: "
            f'snapshot.columns["{name}"] = …'
        )
    return new


def _fit_resource(name: str, values: Mapping[str, Any], cls: type) -> dict[str, Any]:
    fields: dict[str, Field] = {f.name: f for f in fields_of(cls)}
    for extra in values.keys() - fields.keys():
        raise SnapshotError(f"resource {name} has no field {extra!r}; del snapshot.resources[{name!r}][{extra!r}]")
    return {f: values.get(f, field.default) for f, field in fields.items()}


def _fit_event(columns: dict[str, NDArray[Any]], event: type) -> None:
    fields = {f.name: f for f in fields_of(event)}
    for extra in columns.keys() - fields.keys() - {"sender"}:
        raise SnapshotError(f"event {event.__name__} has no field {extra!r}")
    for name, f in fields.items():
        old = columns.get(name)
        full = f"{event.__name__}.{name}"
        columns[name] = (
            np.full(len(columns["sender"]), f.default, f.dtype) if old is None else _cast(full, old, f.dtype)
        )
