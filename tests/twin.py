"""A plain twin of the whole World: a dict of objects, and what each call means for them, said in a few lines.

It knows nothing of slots, pages or columns: handles come from the real world, and are mere names here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]
"""By column, one number for all entities or a list of one each."""


@dataclass
class Sort:
    """A kind: what each of its entities has, what it may have, and whom it extends."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    extends: str | None = None


@dataclass
class Thing:
    """One living entity: from component to column to number."""

    kind: str
    has: dict[str, dict[str, Any]] = field(default_factory=dict)


class Twin:
    """What lives, by handle.

    Parameters
    ----------
    capacity : int
    sorts : {kind: Sort}
    defaults : {component: {column: number}}
    references : sequence of (component, column)
        Whose numbers are handles.
    fates : {component: "clear", "remove" or "despawn"}
        Of relations, whose column "target" is a reference: what befalls the source of a target that ends.
    """

    def __init__(
        self,
        capacity: int,
        sorts: Mapping[str, Sort],
        defaults: Mapping[str, Mapping[str, Any]],
        references: Iterable[tuple[str, str]] = (),
        fates: Mapping[str, str] | None = None,
    ) -> None:
        self.capacity = capacity
        self.sorts, self.defaults, self.references = sorts, defaults, tuple(references)
        self.fates = dict(fates or {})
        self.things: dict[int, Thing] = {}
        self.gone: dict[int, None] = {}

    # -- kinds -------------------------------------------------------------------------------------------------

    def is_a(self, kind: str | None, other: str) -> bool:
        """Whether a kind is another or extends it."""
        return kind is not None and (kind == other or self.is_a(self.sorts[kind].extends, other))

    def required(self, kind: str) -> set[str]:
        """What each entity of a kind has."""
        sort = self.sorts[kind]
        return set(sort.required) | (self.required(sort.extends) if sort.extends else set())

    def optional(self, kind: str) -> set[str]:
        """What an entity of a kind may have."""
        sort = self.sorts[kind]
        return (set(sort.optional) | (self.optional(sort.extends) if sort.extends else set())) - self.required(kind)

    # -- structure ---------------------------------------------------------------------------------------------

    def spawn(self, handles: Sequence[int], kind: str, given: Mapping[str, Values]) -> None:
        """Let entities live; what isn't given has its default, and what is given though optional is added."""
        assert len(self.things) + len(handles) <= self.capacity
        for handle in handles:
            assert handle not in self.things
            assert handle not in self.gone
            self.things[handle] = Thing(kind)
        for component in sorted(self.required(kind) | set(given)):
            self.add(handles, component, given.get(component))

    def copy(self, handles: Sequence[int], originals: Sequence[int]) -> None:
        """Let entities live that are as others are."""
        for handle, original in zip(handles, originals, strict=True):
            assert handle not in self.things
            assert handle not in self.gone
            self.things[handle] = copy.deepcopy(self.things[original])

    def despawn(self, handles: Iterable[int]) -> int:
        """End those that live, and the sources of relations that cascade; how many ended."""
        ended = dict.fromkeys(handle for handle in handles if handle in self.things)
        cascading = [component for component, fate in self.fates.items() if fate == "despawn"]
        grown = True
        while grown:
            tied = [h for c in cascading for h in self.having(c) if self.things[h].has[c]["target"] in ended]
            grown = not ended.keys() >= set(tied)
            ended.update(dict.fromkeys(tied))
        for handle in ended:
            del self.things[handle]
        self.gone.update(ended)
        return len(ended)

    def add(self, handles: Sequence[int], component: str, given: Values | None = None) -> None:
        """Give a component to those that live, with its defaults where no value is given."""
        for i, handle in enumerate(handles):
            if handle in self.things:
                self.things[handle].has[component] = {**self.defaults[component], **nth(given or {}, i)}

    def remove(self, handles: Iterable[int], component: str) -> None:
        """Take a component from those that live and have it."""
        for handle in handles:
            if handle in self.things:
                self.things[handle].has.pop(component, None)

    def set(self, handles: Sequence[int], component: str, given: Values) -> None:
        """Write what is given."""
        for i, handle in enumerate(handles):
            self.things[handle].has[component].update(nth(given, i))

    def relate(self, sources: Iterable[int], relation: str, targets: Iterable[int]) -> bool:
        """Tie each source to a target, if they all may be: none to itself, and no cycle of a relation that cascades."""
        after = {h: self.things[h].has[relation]["target"] for h in self.having(relation)}
        wanted = dict(zip(sources, targets, strict=True))
        after.update(wanted)
        for source in wanted:
            seen, at = {source}, after[source]
            while self.fates[relation] == "despawn" and at not in seen and after.get(at, 0):
                seen.add(at)
                at = after[at]
            if at in seen:
                return False
        for source, target in wanted.items():
            self.things[source].has.setdefault(relation, dict(self.defaults[relation]))["target"] = target
        return True

    def settle(self) -> None:
        """Who is tied to the dead is let go of, as it is declared; references to the dead become 0."""
        for component, fate in self.fates.items():
            for thing in self.things.values():
                target = thing.has.get(component, {}).get("target", 0)
                if fate == "remove" and target and target not in self.things and component in self.optional(thing.kind):
                    del thing.has[component]
        for component, column in self.references:
            for thing in self.things.values():
                if component in thing.has and thing.has[component][column] not in self.things:
                    thing.has[component][column] = 0

    def rename(self, new_of: Mapping[int, int]) -> None:
        """Entities have other handles from now on; the old ones are refused."""
        self.things = {new_of.get(handle, handle): thing for handle, thing in self.things.items()}
        self.gone.update(dict.fromkeys(new_of))
        for component, column in self.references:
            for thing in self.things.values():
                if component in thing.has:
                    target = thing.has[component][column]
                    thing.has[component][column] = new_of.get(target, target)

    # -- questions ---------------------------------------------------------------------------------------------

    def having(self, *components: str) -> list[int]:
        """The handles of those that have some components."""
        return [h for h, thing in self.things.items() if all(c in thing.has for c in components)]

    def find(
        self, need: Iterable[str], lack: Iterable[str] = (), either: Iterable[str] = (), kind: str | None = None
    ) -> list[int]:
        """The handles of those that have all of `need`, none of `lack` and one of `either`, if there are any."""
        return [
            handle
            for handle, thing in self.things.items()
            if all(c in thing.has for c in need)
            and not any(c in thing.has for c in lack)
            and (not either or any(c in thing.has for c in either))
            and (kind is None or self.is_a(thing.kind, kind))
        ]

    def column(self, component: str, column: str, handles: Iterable[int]) -> list[Any]:
        """One column's numbers of some entities."""
        return [self.things[handle].has[component][column] for handle in handles]


def nth(given: Values, i: int) -> dict[str, Any]:
    """The numbers that the entity at one place of a call is given."""
    return {column: value[i] if isinstance(value, list) else value for column, value in given.items()}
