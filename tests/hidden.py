"""Stages on which entities hide, change rooms, owners and groups, and observers subscribe and look about."""

from __future__ import annotations

from typing import Any

import numpy as np

import horizon_ecs as hz
from horizon_ecs import i2, u4
from tests.streams import Cargo, Heading, Hull, Limbs, Position, Stage, Watcher

GROUPS = ("red", "blue", 3)


@hz.component
class Purse:
    """What only an owner is to know."""

    gold: u4
    gems: i2


def _captain() -> hz.Kind:
    """An owner's layer among others, reaching as far as the world does, with a component of its own and a shared one."""
    near = hz.Layer(0, 15.0, 30.0, [Position, Hull], 1 / 16)
    own = hz.Layer(1, np.inf, 20.0, [Purse, Heading, Hull], {Heading: 1 / 64}, owner_only=True)
    far = hz.Layer(2, 50.0, 10.0, [Position, Heading], {Position: 1 / 4, Heading: 1 / 8})
    return hz.Kind("Captain", Position, Hull, Heading, Purse, layers=[near, own, far])


def _chest() -> hz.Kind:
    """For owners only, and by a radius."""
    own = hz.Layer(0, 40.0, 15.0, [Position, Purse], 1 / 16, owner_only=True)
    return hz.Kind("Chest", Position, Purse, layers=[own, hz.Layer(3, 25.0, 6.0, [Position], 1 / 4)])


_STATES = {
    "secret": [hz.Layer(0, 80.0, 6.0, [Limbs], 1 / 4, owner_only=True), hz.Layer(2, 80.0, 6.0, [Position], 1.0)],
    "gone": [],
}


def _rock() -> hz.Kind:
    return hz.Kind(
        "Rock", Position, Limbs, Cargo, layers=[hz.Layer(1, 30.0, 12.0, [Position, Cargo], 1 / 8)], profiles=_STATES
    )


def kinds() -> list[hz.Kind]:
    return [_captain(), _chest(), _rock()]


class Secrets(Stage):
    """A stage that keeps what was said of everyone in its twins as well."""

    def __init__(self, **options: Any) -> None:
        super().__init__(kinds(), **options)
        self.groups: dict[Any, list[int]] = {}

    def viewers(self) -> list[Watcher]:
        """Those who look by themselves."""
        return self.watchers

    def despawn(self, handles: list[int]) -> None:
        super().despawn(handles)
        for handle in handles:
            self.told.pop(handle, None)

    def unwatch(self, watcher: Watcher) -> None:
        super().unwatch(watcher)
        for told in self.told.values():
            if told.get("owner") == watcher.number:
                told["owner"] = None

    def _some(self) -> list[int]:
        """A few that live, each once."""
        n = int(self.rng.randint(1, 4))
        return list(dict.fromkeys(self.one_of(self.living) for _ in range(n))) if self.living else []

    def _tell(self, handles: list[int], what: str, values: Any) -> None:
        for handle, value in zip(handles, values, strict=True):
            self.told.setdefault(handle, {})[what] = value

    # -- acts ----------------------------------------------------------------------------------------------------

    def hide(self) -> None:
        """Masks of entities and observers change."""
        if self.chance(0.4) and (some := self._some()):
            masks = [self.one_of([0, 1, 2, 3, 6, 2**63, 2**64 - 1]) for _ in some]
            self.replicator.set_visible_to(some, np.array(masks, np.uint64))
            self._tell(some, "visible_to", masks)
        if self.chance(0.1):
            watcher = self.one_of(self.viewers())
            watcher.twin.lens.sees = self.one_of([1, 2, 3, 2**63 + 1, 2**64 - 1])
            self.replicator.set_sees(watcher.number, watcher.twin.lens.sees)

    def change_rooms(self) -> None:
        if self.chance(0.4) and (some := self._some()):
            rooms = [self.one_of([0, 0, 1, 77, 2**32 - 1]) for _ in some]
            self.replicator.set_room(some, np.array(rooms, np.uint32))
            self._tell(some, "room", rooms)
        if self.chance(0.1):
            watcher = self.one_of(self.viewers())
            watcher.twin.lens.room = self.one_of([0, 1, 77])
            self.replicator.set_observer_room([watcher.number], watcher.twin.lens.room)

    def change_owners(self) -> None:
        if not self.chance(0.2) or not (some := self._some()):
            return
        owner = self.one_of([None, -1, *(w.number for w in self.viewers())])
        self.replicator.set_owner(some, owner)
        for watcher in self.viewers():
            owned = watcher.twin.lens.owned
            owned[:] = [h for h in owned if h not in some] + (some if owner == watcher.number else [])
        self._tell(some, "owner", [owner] * len(some))

    def subscribe(self) -> None:
        if self.chance(0.3) and (some := self._some()):
            watcher = self.one_of(self.viewers())
            channels, mask = self.one_of([(None, 255), (0, 1), ([1, 2], 6), ([0, 3], 9)])
            _add(watcher.twin.lens.subscribed, some, mask)
            self.replicator.subscribe(watcher.number, some, channels)
        if self.chance(0.2):
            watcher = self.one_of(self.viewers())
            known = [handle for handle, _ in watcher.twin.lens.subscribed]
            if known:
                gone = self.one_of(known)
                channels, mask = self.one_of([(None, 255), (2, 4)])
                self.replicator.unsubscribe(watcher.number, gone, channels)
                _remove(watcher.twin.lens.subscribed, gone, mask)

    def band_together(self) -> None:
        """Entities join and leave groups, observers follow them and don't."""
        name = self.one_of(list(GROUPS))
        members = self.groups.setdefault(name, [])
        if self.chance(0.2) and (some := self._some()):
            self.replicator.join_group(some, name)
            members += [h for h in some if h not in members]
        if self.chance(0.15) and members:
            gone = self.one_of(members)
            self.replicator.leave_group(gone, name)
            members.remove(gone)
        if self.chance(0.1):
            watcher = self.one_of(self.viewers())
            channels, mask = self.one_of([(None, 255), ([2], 4)])
            self.replicator.subscribe_group(watcher.number, name, channels)
            _add_group(watcher.twin.lens.groups, members, mask)
        if self.chance(0.05):
            watcher = self.one_of(self.viewers())
            if any(m is members for m, _ in watcher.twin.lens.groups):
                self.replicator.unsubscribe_group(watcher.number, name)
                groups = watcher.twin.lens.groups
                groups[:] = [g for g in groups if g[0] is not members]

    def look_about(self) -> None:
        """Second centres and cones come, move and go."""
        watcher = self.one_of(self.viewers())
        lens = watcher.twin.lens
        if self.chance(0.3):
            point, scale = self.rng.uniform(-60, 60, 3).astype(np.float32), self.one_of([0.5, 1.0, 1.7])
            lens.focus = (list(point), scale) if self.chance(0.8) else None
            self.replicator.set_focus(watcher.number, point if lens.focus else None, scale)
        if self.chance(0.3):
            direction, half = self.rng.uniform(-1, 1, 3), self.rng.uniform(0, np.pi)
            inside, outside = self.one_of([(1.5, 0.5), (1.0, 0.0), (0.7, 2.0), (1.0, 1.0)])
            lens.cone = (direction, half, inside, outside) if self.chance(0.8) else None
            self.replicator.set_view(
                [watcher.number], direction if lens.cone else None, half, inside=inside, outside=outside
            )  # fmt: skip


def _add(pairs: list[list[Any]], handles: list[int], mask: int) -> None:
    for handle in handles:
        found = next((pair for pair in pairs if pair[0] == handle), None)
        if found:
            found[1] |= mask
        else:
            pairs.append([handle, mask])


def _remove(pairs: list[list[Any]], handle: int, mask: int) -> None:
    pair = next(pair for pair in pairs if pair[0] == handle)
    pair[1] &= ~mask
    if not pair[1]:
        pairs.remove(pair)


def _add_group(groups: list[list[Any]], members: list[int], mask: int) -> None:
    found = next((group for group in groups if group[0] is members), None)
    if found:
        found[1] |= mask
    else:
        groups.append([members, mask])


EVERY_SECRET = (
    Secrets.hide,
    Secrets.change_rooms,
    Secrets.change_owners,
    Secrets.subscribe,
    Secrets.band_together,
    Secrets.look_about,
)
