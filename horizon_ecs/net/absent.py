"""Players whose connections broke, who may come back for a while. Time is an argument."""

from __future__ import annotations

from collections.abc import Iterator

from horizon_ecs.net.players import Player


class Absent:
    """Players that are away, by their session's token, until a time each.

    Parameters
    ----------
    limit : int
        So many at most; whoever has been away longest makes room.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._away: dict[str, tuple[Player, float]] = {}

    def __len__(self) -> int:
        return len(self._away)

    def __iter__(self) -> Iterator[Player]:
        return iter([player for player, _ in self._away.values()])

    def keep(self, player: Player, until: float) -> None:
        """Expect a player back until then."""
        self._away[player.session] = player, until

    def take(self, session: str, user: str) -> Player | None:
        """Who comes back with this token, and is the same user; None for nobody."""
        found = self._away.get(session)
        if found is None or found[0].user != user:
            return None
        del self._away[session]
        return found[0]

    def gone(self, now: float) -> list[Player]:
        """Those who won't come back any more, whom it forgets."""
        late = {session for session, (_, until) in self._away.items() if until <= now}
        n_too_many = max(0, len(self._away) - len(late) - self._limit)
        waiting = [session for session in self._away if session not in late]
        return [self._away.pop(session)[0] for session in (*late, *waiting[:n_too_many])]
