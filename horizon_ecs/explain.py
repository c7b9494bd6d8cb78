"""Explain: why an entity is sent to an observer or isn't, on which channels, how often, and what it costs.

Every reason is a function from a `Case` to words, or None where it doesn't apply; the first of its list that applies is
the one that is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel
from horizon_ecs.columns import PAGE
from horizon_ecs.notebook import html_table
from horizon_ecs.observers import HELD
from horizon_ecs.schema import NO_CHANNEL
from horizon_ecs.slots import DEAD
from horizon_ecs.systems import recount, visibility
from horizon_ecs.systems.interest import MASK_SHIFT, STALE_SHIFT
from horizon_ecs.visibility import EVERYWHERE, owners_of

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator

PREDICTORS = {0: "none", 1: "previous value", 2: "linear", 3: "toggled bits"}
_SLOT, _BYTE = np.uint64(0xFFFFFFFF), np.uint64(0xFF)


class Reason(NamedTuple):
    """Why something is so: a word for programs, and words for people."""

    code: str
    text: str


@dataclasses.dataclass(frozen=True)
class ChannelExplanation:
    """One channel of an entity's kind before one observer.

    Attributes
    ----------
    channel : int
    radius, leave_radius : float
        World units, with the entity's radius scale and the observer's reach; NaN where the kind has no such layer.
    frequency : float
        Hz, as declared; `period` in ticks is what became of it. 0 without a layer.
    followed : bool
    reason : Reason
    next_due_tick : int
        When interest on this channel is evaluated next; -1 without a layer.
    """

    channel: int
    radius: float
    leave_radius: float
    frequency: float
    period: int
    followed: bool
    reason: Reason
    next_due_tick: int


@dataclasses.dataclass(frozen=True)
class GroupExplanation:
    """One group of fields that travel together.

    Attributes
    ----------
    component : str
    fields : dict
        From each field's name to its predictor: "linear", "previous value", "toggled bits", "none".
    channel : int or None
        The followed channel that carries it.
    period : int
        Ticks from record to record; 0 where nothing carries it.
    baseline_tick : int or None
        The tick whose values the observer's client has, -1 if none yet; None where nothing carries it.
    next_due_tick : int
    state : str
        "in sync", "stale" (an absolute record comes next), or "not carried".
    record_bits : int or None
        Length of the shared record of the baseline tick; None where there is none, or the history doesn't reach back.
        (One that entered or changed channel then, or a reset frame, has an absolute record instead.)
    predicted : bool or None
        Whether that record says nothing new: then it is left out of a frame, unless nearly all others have one.
    """

    component: str
    fields: dict[str, str]
    channel: int | None
    period: int
    baseline_tick: int | None
    next_due_tick: int
    state: str
    record_bits: int | None
    predicted: bool | None


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why an entity is sent to an observer or isn't; prints itself. `Replicator.explain` makes it.

    Attributes
    ----------
    observer, entity : int
    kind : str or None
        None where the entity is dead.
    tick : int
        The last that was replicated; -1 before the first step.
    distance : float
        World units; NaN where there is none.
    followed : bool
    reason : Reason
    channels : tuple of ChannelExplanation
    groups : tuple of GroupExplanation
    """

    observer: int
    entity: int
    kind: str | None
    tick: int
    distance: float
    followed: bool
    reason: Reason
    channels: tuple[ChannelExplanation, ...]
    groups: tuple[GroupExplanation, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it but for NaN and infinity."""
        out = dataclasses.asdict(self)
        for part in (out, *out["channels"]):
            part["reason"] = part["reason"]._asdict()
        return out

    def __str__(self) -> str:
        return "\n".join([self._title(), *map(_channel_line, self.channels), *map(_group_line, self.groups)])

    def _repr_html_(self) -> str:
        rows = [("channel", str(c.channel), _channel_line(c).strip()) for c in self.channels]
        rows += [("group", g.component, _group_line(g).strip()) for g in self.groups]
        return html_table(self._title(), ("", "", ""), rows)

    def _title(self) -> str:
        what = f"{self.kind or 'entity'} {self.entity:#x}"
        verb = "follows" if self.followed else "doesn't follow"
        return f"Observer {self.observer} {verb} {what} at distance {self.distance:g}: {self.reason.text}"


def _channel_line(c: ChannelExplanation) -> str:
    mark = "followed" if c.followed else "-"
    if not c.period:
        return f"  channel {c.channel}  {mark:<9} {c.reason.text}"
    every = f"radius {c.radius:g} to {c.leave_radius:g}, every {c.period} ticks, next at {c.next_due_tick}"
    return f"  channel {c.channel}  {mark:<9} {c.reason.text} ({every})"


def _group_line(g: GroupExplanation) -> str:
    named = f"  {g.component} ({', '.join(g.fields)})"
    if g.channel is None:
        return f"{named}: no followed channel carries it"
    cost = "" if g.record_bits is None else f", record {g.record_bits} bits{', predicted' if g.predicted else ''}"
    has = f"as of tick {g.baseline_tick}" if g.baseline_tick != -1 else "not yet"
    return f"{named}: {g.state} on channel {g.channel}, known {has}{cost}, next at {g.next_due_tick}"


# -- the case ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """What reasons look at: an observer, an entity that may be dead, and how they stand to each other."""

    replicator: Replicator
    observer: int
    entity: int
    slot: int
    alive: bool
    number: int  # of the kind in the schema, -1 for none
    entry: int | None  # in the observer's list, see `systems.interest`
    distance_sq: np.float32

    @property
    def mask(self) -> int:
        return int(np.uint64(self.entry) >> MASK_SHIFT & _BYTE) if self.entry is not None else 0

    @property
    def stale(self) -> int:
        return int(np.uint64(self.entry) >> STALE_SHIFT & _BYTE) if self.entry is not None else 0

    @property
    def has_budget(self) -> bool:
        return bool(np.isfinite(self.replicator.budget(self.observer)[0]))

    @property
    def phase(self) -> int:
        return self.replicator.phase(self.observer)

    @property
    def periods(self) -> NDArray[np.int64]:
        """int64[C]: those of the kind at the observer's rate."""
        table, tables = self.replicator._table, self.replicator.tables
        periods: NDArray[np.int64] = tables.periods[table.rate[self.observer], self.number]
        return periods

    def orders(self, c: int, j: int) -> NDArray[np.uint8]:
        """uint8[n]: the predictors of a group's fields."""
        tables = self.replicator.tables
        orders: NDArray[np.uint8] = tables.order[self.number, c, j]
        return orders[: tables.n_fields[self.number, j]]

    @property
    def born(self) -> int:
        return int(self.replicator.world.born[self.slot])

    @property
    def scale(self) -> np.float32:
        """What the entity's radii are multiplied by."""
        return np.float32(self.replicator.radius_scale([self.entity])[0])

    @property
    def reach(self) -> np.float32:
        """What the observer's are, where more is near than it may follow."""
        return np.float32(self.replicator.reach_scale[self.observer])

    @property
    def effective_sq(self) -> np.float32:
        """The squared distance, as the entity's radii have it."""
        inverse = np.float32(1.0) / self.scale
        return np.float32(self.distance_sq * (inverse * inverse))

    @property
    def enter_sq(self) -> NDArray[np.float32]:
        """float32[C]: squared radii to enter at."""
        limits: NDArray[np.float32] = self.replicator._enter_sq[self.number] * (self.reach * self.reach)
        return limits

    @property
    def leave_sq(self) -> NDArray[np.float32]:
        """float32[C]: squared radii to leave at."""
        limits: NDArray[np.float32] = self.replicator._leave_sq[self.number] * (self.reach * self.reach)
        return limits

    @property
    def tick(self) -> int:
        return int(-1 if self.replicator._last_tick is None else self.replicator._last_tick)

    @property
    def is_full(self) -> bool:
        return len(self.replicator.followed(self.observer)) >= self.replicator.max_followed

    def next_due(self, c: int) -> int:
        """The next tick at which channel `c` of the kind is due; the next of all where a reset frame is waiting."""
        period = int(self.periods[c])
        following = self.tick + 1
        return (
            following
            if self.replicator._table.wants_reset[self.observer]
            else following + -(following + self.phase) % period
        )


def make_case(replicator: Replicator, observer: int, entity: int) -> Case:
    """Look up how an observer and an entity stand to each other. Raises ArgumentError for no such observer."""
    world, listed = replicator.world, replicator.followed(observer)
    slot = int(entity) & 0xFFFFFFFF
    alive = slot < world.n_slots and bool(world.alive([entity])[0])
    number = -1
    if alive:
        number = int(replicator.kind_numbers((slot // PAGE + 1) * PAGE)[slot])
    mine = np.flatnonzero((listed & _SLOT) == slot) if slot < world.n_slots else np.zeros(0, np.intp)
    # A list names slots: an entry is that of an earlier entity where this one was born since interest was evaluated.
    known = len(mine) and alive and int(world.born[slot]) <= replicator._table.evaluated_tick[observer]
    return Case(
        replicator, observer, int(entity), slot, alive, number, int(listed[mine[0]]) if known else None,
        _distance_sq(replicator, observer, slot) if number >= 0 else np.float32(np.nan)
    )  # fmt: skip


def _place(replicator: Replicator, slot: int) -> NDArray[np.float32]:
    return np.array([replicator._x[slot], replicator._y[slot], replicator._z[slot]], np.float32)


def _distance_sq(replicator: Replicator, observer: int, slot: int) -> np.float32:
    """As the next evaluation will have it: in float32, from where the observer will stand then."""
    there, here = _place(replicator, slot), replicator.position[observer]
    own = int(replicator.entity[observer])
    if own and replicator.world.alive([own])[0]:
        stands = _place(replicator, own & 0xFFFFFFFF)
        here = stands if np.isfinite(stands).all() else here
    with np.errstate(all="ignore"):
        dx, dy, dz = there - here
        return np.float32((dx * dx + dy * dy) + dz * dz) if np.isfinite(there).all() else np.float32(np.nan)


# -- reasons for a pair ------------------------------------------------------------------------------------------------


def _dead(case: Case) -> Reason | None:
    return None if case.alive else Reason("dead", "the entity doesn't live any more")


def _not_replicated(case: Case) -> Reason | None:
    if case.number >= 0:
        return None
    kind = case.replicator.world.kind_of(case.entity)
    return Reason("no layers", f"kind {kind.name!r} has no layers, so it stays on the server")


def _hidden(case: Case) -> Reason | None:
    hidden = case.replicator.world.is_hidden([case.entity])[0]
    return Reason("hidden", "the entity is hidden (world.hide)") if hidden else None


def _masked(case: Case) -> Reason | None:
    sight = case.replicator._sight
    if not sight.ways[visibility.IN_USE] or not visibility.is_hidden(
        case.slot, sight.view[case.observer, 0], np.uint32(sight.view[case.observer, 1] & _SLOT), sight.sight
    ):
        return None
    here, there = (int(row[1] & _SLOT) for row in (sight.view[case.observer], sight.sight[case.slot]))
    if here != there and there != EVERYWHERE:
        return Reason("other room", f"the entity is in room {there}, the observer in room {here}")
    return Reason("masked", "the observer may not see it: no bit of who sees it is among what the observer sees")


def _unborn(case: Case) -> Reason | None:
    if case.tick < 0:
        return Reason("unborn", "nothing has been replicated yet")
    if DEAD > case.born > case.tick:
        return Reason("unborn", f"it is born in tick {case.born}, and tick {case.tick} is the last that was replicated")
    return None


def _held(case: Case) -> Reason | None:
    if case.replicator.status[case.observer] != HELD:
        return None
    return Reason("held", "the observer is held: nothing is framed for it until resume, and its list stays as it is")


def _waits_for_reset(case: Case) -> Reason | None:
    waits = case.replicator._table.wants_reset[case.observer]
    return Reason("reset", "the next step makes the observer a reset frame, and looks anew") if waits else None


def _followed(case: Case) -> Reason | None:
    if not case.mask:
        return None
    channels = [str(c) for c in range(8) if case.mask >> c & 1]
    return Reason("followed", f"on channel{'s' if len(channels) > 1 else ''} {', '.join(channels)}")


def _nowhere(case: Case) -> Reason | None:
    return Reason("nowhere", "its position isn't finite") if np.isnan(case.distance_sq) else None


def _crowded(case: Case) -> Reason | None:
    widest = case.replicator._enter_sq[case.number].max()
    if not case.enter_sq.max() < case.effective_sq <= widest:
        return None
    shrunk = f"its reach has shrunk to {case.reach:.0%}"
    return Reason("crowded", f"within a radius, but so much is near that the observer follows the nearest: {shrunk}")


def _outside(case: Case) -> Reason | None:
    reach = float(case.replicator.tables.radius[case.number].max()) * float(case.scale) * float(case.reach)
    outside = case.effective_sq > case.enter_sq.max()
    return Reason("outside", f"beyond its kind's longest radius, {reach:g}") if outside else None


def _full(case: Case) -> Reason | None:
    n = case.replicator.max_followed
    return Reason("full", f"the observer's list is full: {n} entities (max_followed)") if case.is_full else None


def _may_wait(case: Case) -> Reason | None:
    if not case.has_budget:
        return None
    inside = np.flatnonzero(case.effective_sq <= case.enter_sq).tolist()
    earliest = min(map(case.next_due, inside))
    return Reason(
        "budget", f"within a radius: it enters as soon as the observer's budget allows, from tick {earliest} on"
    )


def _soon(case: Case) -> Reason | None:
    inside = np.flatnonzero(case.effective_sq <= case.enter_sq)
    return Reason(
        "enters", f"it has come within a radius, and enters at tick {min(map(case.next_due, inside.tolist()))}"
    )


PAIR_REASONS: list[Callable[[Case], Reason | None]] = [
    _dead, _not_replicated, _hidden, _masked, _unborn, _held, _waits_for_reset, _followed, _nowhere, _crowded, _outside,
    _full, _may_wait, _soon
]  # fmt: skip


# -- reasons for a channel ---------------------------------------------------------------------------------------------


def _no_layer(case: Case, c: int) -> Reason | None:
    has = case.replicator.tables.period[case.number, c] > 0
    return None if has else Reason("no layer", "the kind has no layer of this channel")


def _named(case: Case, c: int) -> Reason | None:
    book = case.replicator._book
    named = visibility.listed_channels(
        case.observer, np.uint64(case.entity), book.max_observers, book.lists.start, book.lists.n, book.lists.pool,
        book.lists.mask
    )  # fmt: skip
    public = ~int(case.replicator.tables.owner_only[case.number]) & case.mask
    return Reason("subscribed", "a subscription or a group names it") if named & public & (1 << c) else None


def _for_owners(case: Case, c: int) -> Reason | None:
    if not int(case.replicator.tables.owner_only[case.number]) >> c & 1:
        return None
    (owner,) = owners_of(case.replicator._sight, np.array([case.entity], np.uint64)).tolist()
    own = owner == case.observer if owner != -1 else int(case.replicator.entity[case.observer]) == case.entity
    return None if own else Reason("owner only", "the layer is for the entity's owner only, and the observer isn't it")


def _stays(case: Case, c: int) -> Reason | None:
    inside = bool(case.effective_sq <= case.enter_sq[c])
    return Reason("inside", "within the radius") if case.mask >> c & 1 and inside else None


def _is_kept(case: Case, c: int) -> Reason | None:
    kept = case.mask >> c & 1 and bool(case.effective_sq <= case.leave_sq[c])
    return Reason("hysteresis", "beyond the radius, but not yet beyond the one to leave at") if kept else None


def _leaves(case: Case, c: int) -> Reason | None:
    if not case.mask >> c & 1:
        return None
    return Reason("leaves", f"beyond the radius to leave at: ends at tick {case.next_due(c)}")


def _beyond(case: Case, c: int) -> Reason | None:
    inside = bool(case.effective_sq <= case.enter_sq[c])
    return None if inside else Reason("outside", "beyond the radius")


def _no_room(case: Case, c: int) -> Reason | None:
    return Reason("full", "the observer's list is full") if case.entry is None and case.is_full else None


def _enters_by_budget(case: Case, c: int) -> Reason | None:
    if case.entry is not None or not case.has_budget:
        return None
    return Reason("budget", f"within the radius: begins as soon as the budget allows, from tick {case.next_due(c)} on")


def _enters(case: Case, c: int) -> Reason | None:
    return Reason("enters", f"within the radius: begins at tick {case.next_due(c)}")


CHANNEL_REASONS: list[Callable[[Case, int], Reason | None]] = [
    _no_layer, _for_owners, _named, _stays, _is_kept, _leaves, _beyond, _no_room, _enters_by_budget, _enters
]  # fmt: skip


# -- putting it together -----------------------------------------------------------------------------------------------


def explain(replicator: Replicator, observer: int, entity: int) -> Explanation:
    """See `Replicator.explain`."""
    replicator._table.check(observer)
    case = make_case(replicator, int(replicator._streams.leader[observer]), entity)
    reason = next(found for find in PAIR_REASONS if (found := find(case)))
    replicated = case.number >= 0
    n_channels = replicator.tables.period.shape[1]
    return Explanation(
        observer=int(observer), entity=case.entity, tick=case.tick,
        kind=replicator.world.kind_of(case.entity).name if case.alive else None,
        distance=float(np.sqrt(np.float64(case.distance_sq))), followed=case.mask != 0, reason=reason,
        channels=tuple(_explain_channel(case, c) for c in range(n_channels)) if replicated else (),
        groups=tuple(_explain_group(case, j) for j in range(replicator.tables.n_groups[case.number]) if replicated),
    )  # fmt: skip


def _explain_channel(case: Case, c: int) -> ChannelExplanation:
    reason = next(found for find in CHANNEL_REASONS if (found := find(case, c)))
    layer = case.replicator.schema["kinds"][case.number]["channels"][c]
    # As floats of 64 bits, so that a radius that nothing multiplies is told as it was declared.
    radius = layer["radius"] * float(case.scale) * float(case.reach) if layer else float("nan")
    return ChannelExplanation(
        channel=c, radius=radius, leave_radius=radius * (1.0 + case.replicator.hysteresis),
        frequency=layer["frequency"] if layer else 0.0, period=int(case.periods[c]),
        followed=bool(case.mask >> c & 1), reason=reason, next_due_tick=case.next_due(c) if layer else -1
    )  # fmt: skip


def _explain_group(case: Case, j: int) -> GroupExplanation:
    tables, k = case.replicator.tables, case.number
    group = case.replicator.schema["kinds"][k]["groups"][j]
    c = int(tables.carrier[k, j, case.mask])
    names = [field["name"] for field in group["fields"]]
    if c == NO_CHANNEL:
        return GroupExplanation(
            group["component"], dict.fromkeys(names, ""), None, 0, None, -1, "not carried", None, None
        )
    stale = bool(case.stale >> j & 1)
    orders = case.orders(c, j).tolist()
    baseline = -1 if stale else _baseline(case, c, predicted=any(orders))
    bits, predicted = (None, None) if stale else _last_record(case, c, j, baseline)
    return GroupExplanation(
        component=group["component"], channel=c, period=int(case.periods[c]), baseline_tick=baseline,
        fields={name: PREDICTORS[order] for name, order in zip(names, orders, strict=True)},
        next_due_tick=case.next_due(c), state="stale" if stale else "in sync", record_bits=bits, predicted=predicted
    )  # fmt: skip


def _baseline(case: Case, c: int, *, predicted: bool) -> int:
    """The channel's last due tick of those the observer was evaluated at, but not before the entity's birth."""
    table = case.replicator._table
    last = int(table.evaluated_tick[case.observer])
    due = last - (last + case.phase) % int(case.periods[c])
    # A reset frame tells what has no predictor as it is.
    return max(due, case.born, 0 if predicted else int(table.reset_tick[case.observer]))


def _last_record(case: Case, c: int, j: int, tick: int) -> tuple[int | None, bool | None]:
    """Bits of the group's shared record as of a tick, and whether the prediction came true."""
    replicator, k = case.replicator, case.number
    period, orders = int(case.periods[c]), case.orders(c, j)
    n = len(orders)
    # The oldest value that a predictor looks at must still be there.
    oldest = tick - 2 * period if orders.max() == 2 else tick - period if orders.max() else tick
    if max(oldest, case.born) <= case.tick - replicator._depth:
        return None, None
    kernel.warm_up("recount")
    missed, bits = np.zeros(n, np.int64), np.zeros(n, np.int64)
    recount.recount(
        replicator._history, replicator._depth, replicator.tables.track[k, c, j, :n], orders,
        replicator._records.rice[k, c, j, :n], case.slot, tick, period, case.born, missed, bits
    )  # fmt: skip
    return int(bits.sum()), bool(orders.max() and not missed.any())
