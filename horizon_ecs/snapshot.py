"""Snapshots: a world's state as plain data, in memory or in a file, to look at, to change and to make worlds of."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import migrate, restore, savefile
from horizon_ecs.errors import ArgumentError, SnapshotError
from horizon_ecs.handles import handles_at
from horizon_ecs.kinds import Kind
from horizon_ecs.object_store import object_arrays, objects_from
from horizon_ecs.parts import digest_of, parts_of, section_of
from horizon_ecs.savefile import Progress, Section
from horizon_ecs.snapshot_check import check

if TYPE_CHECKING:
    from horizon_ecs.world import World

_STATES = ("waiting", "current")


@dataclasses.dataclass(eq=False)
class Snapshot:
    """A world's state as plain data, to look at, to change and to make a world of.

    Rows are slots; `n` is the number of slots ever used, in whole pages of 1,024. Columns hold one value for each
    entity that has the component, in the order of slots: `handles("Health")` goes with `columns["Health.hp"]`.

    Attributes
    ----------
    options : {"capacity", "max_events"}
    state : dict
        "tick", "tick_rate", "seed", "structure_tick", "owed_s", "rng".
    kinds : {name: {"components": [names], "optional": [names]}}
        The kinds of living entities, by name.
    columns : {"Component.field": array}
    has : {"Component": uint8[n // 8]}
        A bit a slot, lowest first: whether its entity has the component.
    alive, hidden : uint8[n // 8];  generation : uint32[n];  page_kind : int16[n // 1024]
        Of pages -1, or an index into the kinds.
    born : uint32
        A value for each living entity.
    objects : {"Component": list of {"field": value}}
        Of object components, one for each entity that has it.
    resources : {"Resource": {"field": number}}
    states : {"State": {"current": name, "asked": name or None, "entered": bool, "tied": {name: handles}}}
        The last only where entities end with one of its members (see `World.despawn_on_exit`).
    events : {"Event": {"waiting" or "current": {"sender" or field: array}}}
    object_fields : {"Component": [names]}
    units : {"Component.field": text};  enums : {"Component.field": {member: number}}
    about : dict
        What `World.save(about=...)` was given.
    """

    options: dict[str, Any]
    state: dict[str, Any]
    kinds: dict[str, dict[str, list[str]]]
    columns: dict[str, NDArray[Any]]
    has: dict[str, NDArray[np.uint8]]
    alive: NDArray[np.uint8]
    hidden: NDArray[np.uint8]
    generation: NDArray[np.uint32]
    page_kind: NDArray[np.int16]
    born: NDArray[np.uint32]
    objects: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    object_fields: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    resources: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    states: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    events: dict[str, dict[str, dict[str, NDArray[Any]]]] = dataclasses.field(default_factory=dict)
    units: dict[str, str] = dataclasses.field(default_factory=dict)
    enums: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    about: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, world: World, *, skip_resources: Iterable[type] = ()) -> Snapshot:
        """A copy of a world's state. Raises SnapshotError as `World.save`."""
        header, sections = parts_of(world, skip_resources)
        return cls._from_parts(header, {s.name: _joined(s) for s in sections})

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, max_bytes: int | None = None) -> Snapshot:
        """The snapshot in a file.

        Parameters
        ----------
        path : path of the file
        max_bytes : int, optional
            At most so many bytes of columns, for compressed files of strangers: they can grow a thousandfold.

        Raises
        ------
        SnapshotError
            It is none, truncated, corrupted or of a newer version.
        OSError
        """
        header, arrays = savefile.read(path, max_bytes)
        try:
            found = cls._from_parts(header, arrays)
            check(found)
        except SnapshotError as error:
            raise SnapshotError(f"{path}: {error}") from None
        return found

    @classmethod
    def _from_parts(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Snapshot:
        tables: dict[str, Any] = dict(arrays)
        named: dict[str, Any] = {}
        for group in ("has", "columns", "events", "objects"):
            names = [name for name in tables if name.startswith(f"{group}/")]
            named[group] = {name.removeprefix(f"{group}/"): tables.pop(name) for name in names}
        events: dict[str, Any] = {}
        for name, array in named.pop("events").items():
            event, _, rest = name.partition("/")
            state, _, column = rest.partition("/")
            events.setdefault(event, {}).setdefault(state, {})[column] = array
        objects = objects_from(named.pop("objects"))
        try:
            return cls(**header, **tables, **named, events=events, objects=objects)
        except TypeError as error:
            raise SnapshotError(f"the header or its sections are others than a snapshot's: {error}") from None

    def save(self, path: str | os.PathLike[str], *, compress: bool = False, progress: Progress | None = None) -> None:
        """Write it to a file; parameters and errors as for `World.save`."""
        check(self)
        savefile.write(path, self._header(), self._sections(), compress, progress)

    def digest(self) -> str:
        """The same as `World.digest` of the world that it would make."""
        return digest_of(self._header(), self._sections())

    def slots(self, component: str | None = None) -> NDArray[np.uint32]:
        """uint32[n]: the slots of the entities that have a component, or of all, ascending."""
        if component is not None and component not in self.has:
            raise ArgumentError(f"the snapshot has no component {component!r}; it has {list(self.has)}")
        bits = self.alive if component is None else self.has[component]
        return np.flatnonzero(np.unpackbits(bits, bitorder="little")).astype(np.uint32)

    def handles(self, component: str | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of the entities that have a component, or of all, in the order of slots."""
        slots = self.slots(component)
        return handles_at(slots, self.generation)

    def to_world(
        self,
        kinds: Iterable[Kind],
        resources: Iterable[type] = (),
        events: Iterable[type] = (),
        migrate: restore.Migration | None = None,
        **options: Any,
    ) -> World:
        """A world in this state; parameters and errors as for `World.load`."""
        from horizon_ecs.world import World  # which builds on this module

        check(self)
        # Worlds share no objects with it, and a migration changes what it is given.
        own = dataclasses.replace(self, objects=copy.deepcopy(self.objects)) if migrate is None else copy.deepcopy(self)
        classes = restore.Classes.of(kinds, resources, events, options.get("states", ()))
        return restore.build(World, own, classes, migrate, options)

    def rename(self, old: str, new: str) -> None:
        """Rename a component, "Health", or a field, "Health.hp" to "Health.points". Raises ArgumentError."""
        migrate.rename(self, old, new)

    def rename_kind(self, old: str, new: str) -> None:
        """Rename a kind. Raises ArgumentError."""
        migrate.rename_kind(self, old, new)

    def drop(self, name: str, *, kind: str | None = None) -> None:
        """Forget a field, "Health.hp", or a component, "Health": that of every entity, or of one kind's.

        Raises ArgumentError.
        """
        migrate.drop(self, name, kind)

    def drop_kind(self, name: str) -> None:
        """End all entities of a kind and forget it. Raises ArgumentError."""
        migrate.drop_kind(self, name)

    def _header(self) -> dict[str, Any]:
        names = ("options", "state", "kinds", "object_fields", "resources", "states", "units", "enums", "about")
        return {name: getattr(self, name) for name in names} | {"resources": dict(sorted(self.resources.items()))}

    def _sections(self) -> list[Section]:
        found = {name: getattr(self, name) for name in ("generation", "page_kind", "alive", "hidden", "born")}
        for name in sorted(self.has):
            found[f"has/{name}"] = self.has[name]
            columns = [column for column in self.columns if column.partition(".")[0] == name]
            found |= {f"columns/{column}": self.columns[column] for column in sorted(columns)}
            if name in self.objects:
                found |= {f"objects/{name}/{part}": array for part, array in object_arrays(name, self.objects[name])}
        for name, batches in sorted(self.events.items()):
            for state in _STATES:
                found |= {f"events/{name}/{state}/{key}": array for key, array in batches[state].items()}
        return [section_of(name, array) for name, array in found.items()]

    def __str__(self) -> str:
        lines = [f"Snapshot of tick {self.state['tick']}: {len(self.born):,} entities of {', '.join(self.kinds)}"]
        lines += [f"  {name:<32}{a.dtype.name:>12}{len(a):>12,} values" for name, a in self.columns.items()]
        lines += [f"  {name:<32}{values}" for name, values in self.resources.items()]
        return "\n".join(lines)

    __repr__ = __str__


def _joined(section: Section) -> NDArray[Any]:
    out, done = np.empty(section.rows, section.dtype), 0
    for block in section.blocks():
        out[done : done + len(block)] = block
        done += len(block)
    return out
