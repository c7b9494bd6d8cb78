"""Plain, slow twins of messages."""

from __future__ import annotations

from collections.abc import Sequence


def link(slots: Sequence[int], changed: Sequence[int]) -> tuple[dict[int, list[int]], set[int]]:
    """Twin of `messages.link`: the events of each slot in their order, and the slots in bytes' bits that are marked."""
    chains: dict[int, list[int]] = {}
    for number, slot in enumerate(slots):
        chains.setdefault(slot, []).append(number)
    return chains, {*slots, *changed}


def follow_event(event: Sequence[int], born: int | None, kind: int, tick: int) -> list[int]:
    """Twin of `messages.follow_events`, one event: slot, channel, tick, born, died, kind, the kind before, when it
    became another, and when before that. `born` is when whoever it is of was, None where it doesn't live."""
    slot, channel, of_tick, was_born, died, known, before, switched, decided = event
    if born is None:
        died = min(died, tick)
    elif born <= tick:
        if known not in (-1, kind):
            before, switched, decided = known, tick, switched
        known = kind
    return [slot, channel, of_tick, was_born, died, known, before, switched, decided]
