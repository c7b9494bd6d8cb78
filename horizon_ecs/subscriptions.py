"""Subscriptions: entities that observers follow however far they are, what they own, and groups that they follow."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.arguments import is_whole, whole_count
from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.handles import Handles, as_handles, slots_in
from horizon_ecs.kinds import MAX_CHANNEL
from horizon_ecs.lists import Lists
from horizon_ecs.relations import Relation
from horizon_ecs.visibility import NO_OWNER, NOBODY, Sight, Visibility

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap
    from horizon_ecs.replication import Replicator
    from horizon_ecs.world import World

MAX_SUBSCRIPTIONS = 1_024  # entities that one observer subscribes to: each is looked at whenever it has something due
MAX_SUBSCRIBED_GROUPS = 64
MAX_GROUPS = 65_536
_ALL_CHANNELS = 255
_LOW, _HIGH_SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


class Book:
    """Who subscribed to what: lists of every observer, of what it owns, of its groups, and of the groups' members.

    List `o` is what observer `o` subscribed to, `n + o` what it owns, `2 n + o` numbers of the groups that it follows;
    from `3 n` on come groups.
    """

    def __init__(self, max_observers: int) -> None:
        self.max_observers = max_observers
        self.lists = Lists(3 * max_observers + MAX_GROUPS)
        self.groups: dict[Hashable, int] = {}
        self.name_of: dict[int, Hashable] = {}
        self.sources: dict[type[Relation], dict[int, int]] = {}
        self._given_out = 3 * max_observers
        self._returned: list[int] = []

    def group(self, name: Hashable, *, new: bool) -> int:
        """The list of a group's members. Raises CapacityError, and ArgumentError for one that there isn't."""
        if name in self.groups:
            return self.groups[name]
        if not new:
            raise ArgumentError(f"there is no group {name!r}: nobody joined or follows it")
        if len(self.groups) >= MAX_GROUPS:
            raise CapacityError(f"there are {MAX_GROUPS} groups already")
        number = self._returned.pop() if self._returned else self._given_out
        self._given_out = max(self._given_out, number + 1)
        self.groups[name], self.name_of[number] = number, name
        return number

    def end_group(self, name: Hashable, followers: NDArray[np.int64]) -> None:
        """Forget a group. `followers` are all observers."""
        number = self.groups.pop(name)
        del self.name_of[number]
        which = (2 * self.max_observers + followers).astype(np.uint32)
        self.lists.take_out(which, np.full(len(which), number, np.uint64), np.full(len(which), 255, np.uint8))
        self.lists.clear(number)
        self._returned.append(number)

    def forget(self, observer: int, sight: Sight) -> None:
        """An observer ends: what it subscribed to and owned."""
        owned = self.lists.of(self.max_observers + observer)
        if len(owned):
            slots = slots_in(owned)
            mine = sight.sight[slots, 1] >> _HIGH_SHIFT == observer + 1
            sight.sight[slots[mine], 1] &= _LOW
        for kind_of_list in range(3):
            self.lists.clear(kind_of_list * self.max_observers + observer)

    def take_sources(self, world: World, n_used: int) -> None:
        """Bring the groups of relations' sources up to date; those end whose target doesn't live any more."""
        for relation, by_target in self.sources.items():
            targets = np.fromiter(by_target, np.uint64, len(by_target))
            there = world.alive(targets)
            for gone in targets[~there].tolist():
                del by_target[gone]
                self.end_group((relation, gone), np.arange(n_used))
            if by_target:
                offsets, found = world.sources_of(targets[there], relation)
                self.lists.replace(np.fromiter(by_target.values(), np.int64, len(by_target)), offsets, found)

    def follow(self, moved: SlotMap) -> None:
        """Entities were given other handles. (Numbers of groups are no handles: a handle's upper half isn't 0.)"""
        used = self.lists.used()
        used[:] = moved.translate(used)
        for relation, by_target in self.sources.items():
            now = moved.translate(np.fromiter(by_target, np.uint64, len(by_target))).tolist()
            self.sources[relation] = dict(zip(now, by_target.values(), strict=True))
            for target, number in self.sources[relation].items():
                del self.groups[self.name_of[number]]
                self.name_of[number] = (relation, target)
                self.groups[relation, target] = number


class Subscriptions(Visibility):
    """What a replicator's observers follow however far it is."""

    _book: Book

    def subscribe(self, observers: ArrayLike, handles: Handles, channels: ArrayLike | None = None) -> None:
        """Let observers follow entities however far they are: members of a party, a locked target.

        It is in addition to what is near. Masks and rooms still hide, and layers for owners only stay theirs.
        Hysteresis has no part in it. It ends with `unsubscribe`, with the entity and with the observer.

        Parameters
        ----------
        observers : int or int[n]
        handles : uint64, uint64[n] or Query
            One with many, many with one, or each with its counterpart.
        channels : int or sequence of int, optional
            All that the entity's kind has by default; what was subscribed to before stays.

        Raises
        ------
        CapacityError
            An observer would have more than `MAX_SUBSCRIPTIONS` (1,024). Nothing was done.
        StaleHandleError, ArgumentError
        """
        rows, given = self._pairs(observers, handles)
        cast("Replicator", self).world.slots_of(given)
        mask = _mask_of(channels)
        self._check_room(rows, given)
        self._sight.use()
        self._book.lists.append(
            rows.astype(np.uint32), given, np.full(len(rows), mask, np.uint8), cast("Replicator", self).world
        )

    def unsubscribe(self, observers: ArrayLike, handles: Handles, channels: ArrayLike | None = None) -> None:
        """End subscriptions, on some channels or on all. What isn't subscribed to, or is dead, is passed over.

        Parameters as for `subscribe`. Raises ArgumentError.
        """
        rows, given = self._pairs(observers, handles)
        masks = np.full(len(rows), _mask_of(channels), np.uint8)
        self._book.lists.take_out(rows.astype(np.uint32), given, masks)

    def set_owner(self, handles: Handles, observers: ArrayLike | None) -> None:
        """Say who follows the layers of entities that are for their owners only (`Layer(owner_only=True)`).

        At first that is whoever stands at the entity.

        Parameters
        ----------
        handles : uint64, uint64[n] or Query
        observers : int or int[n]; or None
            -1 for nobody; None for whoever stands at it, as at first.

        Raises
        ------
        StaleHandleError, ArgumentError
        """
        slots = self._told(handles)
        given = as_handles(handles)
        rows = np.full(len(given), -2) if observers is None else np.broadcast_to(np.asarray(observers), (len(given),))
        some = self._rows(rows[rows != -1]) if observers is not None else rows[:0]
        sight, lists, n = self._sight.sight, self._book.lists, self._book.max_observers
        before = (sight[slots, 1] >> _HIGH_SHIFT).astype(np.int64)
        owned = (before != NO_OWNER) & (before != NOBODY)
        lists.take_out(
            (n + before[owned] - 1).astype(np.uint32), given[owned], np.full(owned.sum(), 255, np.uint8)
        )  # fmt: skip
        owner = np.full(len(given), NO_OWNER, np.int64)
        if observers is not None:
            owner[:] = np.where(rows == -1, NOBODY, rows + 1)
            lists.append((n + some).astype(np.uint32), given[rows != -1], np.full(len(some), 255, np.uint8),
                         cast("Replicator", self).world)  # fmt: skip
        sight[slots, 1] = (sight[slots, 1] & _LOW) | (owner.astype(np.uint64) << _HIGH_SHIFT)

    # -- groups --------------------------------------------------------------------------------------------------

    def join_group(self, handles: Handles, group: Hashable) -> None:
        """Let entities be members of a group (a party, a guild): whoever follows it follows them however far they are.

        Parameters
        ----------
        handles : uint64, uint64[n] or Query
        group : any hashable value
            Its name; the group begins with the first who joins or follows it.

        Raises
        ------
        StaleHandleError, ArgumentError, CapacityError
        """
        given = as_handles(handles)
        world = cast("Replicator", self).world
        world.slots_of(given)
        which = np.full(len(given), self._book.group(_own_name(group), new=True), np.uint32)
        self._sight.use()
        self._book.lists.append(which, given, np.full(len(given), 255, np.uint8), world)

    def leave_group(self, handles: Handles, group: Hashable) -> None:
        """Let entities be members no more; who isn't one, or is dead, is passed over. Raises ArgumentError."""
        given = as_handles(handles)
        which = np.full(len(given), self._book.group(_own_name(group), new=False), np.uint32)
        self._book.lists.take_out(which, given, np.full(len(given), 255, np.uint8))

    def end_group(self, group: Hashable) -> None:
        """Forget a group: its members and who follows it. Raises ArgumentError where there is none."""
        self._book.group(_own_name(group), new=False)
        self._book.end_group(group, np.arange(cast("Replicator", self)._table.n_used))

    def members(self, group: Hashable) -> NDArray[np.uint64]:
        """uint64[n]: a group's members that live. Raises ArgumentError where there is no such group."""
        found = self._book.lists.of(self._book.group(_own_name(group), new=False))
        return found[cast("Replicator", self).world.alive(found)]

    def subscribe_group(self, observers: ArrayLike, group: Hashable, channels: ArrayLike | None = None) -> None:
        """Let observers follow whoever is a member of a group, now or later, as if subscribed to each.

        Parameters
        ----------
        observers : int or int[n]
        group : any hashable value
        channels : int or sequence of int, optional
            All by default.

        Raises
        ------
        CapacityError
            An observer would follow more than `MAX_SUBSCRIBED_GROUPS` (64). Nothing was done.
        ArgumentError
        """
        rows, mask = self._rows(observers), _mask_of(channels)
        self._follow_group(rows, self._book.group(_own_name(group), new=True), mask)

    def unsubscribe_group(self, observers: ArrayLike, group: Hashable, channels: ArrayLike | None = None) -> None:
        """Let observers follow a group no more, on some channels or on all. Raises ArgumentError."""
        rows, mask = self._rows(observers), _mask_of(channels)
        self._unfollow_group(rows, self._book.group(_own_name(group), new=False), mask)

    def subscribe_sources(self, observers: ArrayLike, target: int, relation: type[Relation],
                          channels: ArrayLike | None = None) -> None:  # fmt: skip
        """Let observers follow all entities that are tied to a target by a relation, such as the members of a guild.

        Who is tied to it is looked up every step; it ends with the target.

        Parameters
        ----------
        observers : int or int[n]
        target : uint64 handle
        relation : a subclass of hz.Relation
        channels : int or sequence of int, optional
            All by default.

        Raises
        ------
        StaleHandleError, ArgumentError, CapacityError
        """
        rows, mask = self._rows(observers), _mask_of(channels)
        world = cast("Replicator", self).world
        world.sources_of(target, relation)
        (handle,) = as_handles(target).tolist()
        number = self._book.group((relation, handle), new=True)
        self._book.sources.setdefault(relation, {})[handle] = number
        self._follow_group(rows, number, mask)

    def unsubscribe_sources(self, observers: ArrayLike, target: int, relation: type[Relation],
                            channels: ArrayLike | None = None) -> None:  # fmt: skip
        """End what `subscribe_sources` began. Raises ArgumentError where nobody subscribed to that."""
        rows, mask = self._rows(observers), _mask_of(channels)
        (handle,) = as_handles(target).tolist()
        self._unfollow_group(rows, self._book.group((relation, handle), new=False), mask)

    # -- what they share -----------------------------------------------------------------------------------------

    def _pairs(self, observers: ArrayLike, handles: Handles) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Observers and handles side by side. Raises ArgumentError."""
        rows, given = self._rows(observers), as_handles(handles)
        if len(rows) != len(given) and 1 not in (len(rows), len(given)):
            raise ArgumentError(f"{len(rows)} observers don't go with {len(given)} handles: one, or as many")
        n = max(len(rows), len(given)) if min(len(rows), len(given)) else 0
        return (np.broadcast_to(rows, (n,)), np.broadcast_to(given, (n,))) if n else (rows[:0], given[:0])

    def _check_room(self, rows: NDArray[np.int64], given: NDArray[np.uint64]) -> None:
        """Refuse more than an observer may subscribe to. Raises CapacityError."""
        who, more = np.unique(rows, return_counts=True)
        for o in who[self._book.lists.n[who] + more > MAX_SUBSCRIPTIONS].tolist():
            kept = self._book.lists.of(o)
            kept = kept[cast("Replicator", self).world.alive(kept)]
            n = len(np.union1d(kept, given[rows == o]))
            if n > MAX_SUBSCRIPTIONS:
                raise CapacityError(
                    f"observer {o} would subscribe to {n} entities; at most {MAX_SUBSCRIPTIONS} are possible"
                )

    def _follow_group(self, rows: NDArray[np.int64], number: int, mask: int) -> None:
        which = (2 * self._book.max_observers + rows).astype(np.uint32)
        lists = self._book.lists
        for o in rows[lists.n[which] >= MAX_SUBSCRIBED_GROUPS].tolist():
            if number not in lists.of(2 * self._book.max_observers + o):
                raise CapacityError(f"observer {o} follows {MAX_SUBSCRIBED_GROUPS} groups already")
        self._sight.use()
        lists.append(which, np.full(len(which), number, np.uint64), np.full(len(which), mask, np.uint8), None)

    def _unfollow_group(self, rows: NDArray[np.int64], number: int, mask: int) -> None:
        which = (2 * self._book.max_observers + rows).astype(np.uint32)
        self._book.lists.take_out(which, np.full(len(which), number, np.uint64), np.full(len(which), mask, np.uint8))


def _own_name(group: Hashable) -> Hashable:
    """A group's name as users may give it. Raises ArgumentError."""
    if isinstance(group, tuple) and group and isinstance(group[0], type) and issubclass(group[0], Relation):
        raise ArgumentError(f"the sources of a relation are no group to name: {group!r}; see subscribe_sources")
    try:
        hash(group)
    except TypeError:
        raise ArgumentError(f"a group's name must be hashable, such as a text or a number, not {group!r}") from None
    return group


def _mask_of(channels: Any) -> int:
    """The bit mask of channels. Raises ArgumentError."""
    if channels is None:
        return _ALL_CHANNELS
    listed = [channels] if is_whole(channels) else list(np.asarray(channels).ravel().tolist())
    mask = 0
    for c in listed:
        if whole_count("channels", c, "channel") > MAX_CHANNEL:
            raise ArgumentError(f"channels go from 0 to {MAX_CHANNEL}, not {c!r}")
        mask |= 1 << c
    if not mask:
        raise ArgumentError("channels lists none")
    return mask
