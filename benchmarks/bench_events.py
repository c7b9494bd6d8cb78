"""Events, in nanoseconds each, beside what Horizon's guide asks for; `python -m benchmarks.bench_events` prints all."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np

import horizon_ecs as hz
from benchmarks import document
from benchmarks.document import Table, number
from benchmarks.machine import machine, where
from benchmarks.timing import best_s
from horizon_ecs import f4
from horizon_ecs.columns import PAGE
from horizon_ecs.core_events import ClientEvent
from horizon_ecs.net import wire
from horizon_ecs.net.limits import Limits
from horizon_ecs.net.players import Player
from horizon_ecs.net.session import Said, Session

N = 100_000  # as in the guide's "benchmark_event_throughput"
ROWS = 1_000_000  # of a columnar event
BAR_A_SECOND = 50_000  # what the guide asks for
REPEATS = 7
MARKERS = document.markers("python -m benchmarks.bench_events")


@hz.event
class Hit:
    x: f4
    y: f4


@numba.njit(nogil=True)
def add_up(sender: Any, records: Any, total: Any) -> None:
    """What a compiled handler does at least: it looks at every record."""
    x = records["x"]
    for i in range(len(x)):
        total[0] += x[i]


class Events:
    """What an event costs from whoever emits it to the end of its handlers."""

    unit = "ns/event"

    def setup(self) -> None:
        self.events = hz.EventSystem(max_waiting=N)
        self.heard = 0

    def note(self, event: object) -> None:
        self.heard += 1

    def _ns(self, work: Callable[[], object], n: int = 0, each: int = 1) -> float:
        n = n or N
        seconds = best_s(work, REPEATS)
        assert self.heard == (REPEATS + 1) * n * each, "handlers weren't told of everything"
        return seconds / n * 1e9

    def _emit(self) -> None:
        for i in range(N):
            self.events.emit_core("benchmark", {"id": i, "timestamp": 1.5})

    def track_core_event(self) -> float:
        """The guide's own: objects of two values, and a handler that takes note of them."""
        self.events.on_core("benchmark", self.note)
        return self._ns(self._emit)

    def track_core_event_five_handlers(self) -> float:
        for priority in range(5):
            self.events.on_core("benchmark", self.note, priority=priority)
        return self._ns(self._emit, each=5)

    def track_core_event_no_handler(self) -> float:
        return self._ns(self._emit, each=0)

    def track_plugin_event(self) -> float:
        self.events.on_plugin("combat", "hit", self.note)

        def once() -> None:
            for i in range(N):
                self.events.emit_plugin("combat", "hit", i)

        return self._ns(once)

    def track_event_of_another_thread(self) -> float:
        """Emitted elsewhere, it waits for the tick."""
        self.events.on_core("benchmark", self.note)

        def once() -> None:
            other = threading.Thread(target=self._emit)
            other.start()
            other.join()
            self.events.dispatch()

        return self._ns(once)

    def track_async_handler(self) -> float:
        events = hz.EventSystem(max_queued=N)

        async def handler(event: object) -> None:
            self.heard += 1

        events.on_core("benchmark", handler)
        self.events = events

        def once() -> None:
            self._emit()
            events.drain(60.0)

        try:
            return self._ns(once)
        finally:
            events.close()

    def track_object_of_a_client(self) -> float:
        """From its bytes to its handler, without sockets: decoded, bounded, looked through."""
        limits = Limits(hz.ServerConfig(max_messages_per_s=1e6, max_requests_per_minute=60_000_000))
        session = Session(schema_hash="", record_bytes={}, limits=limits, window_ticks=60, ack_every=6,
                          stall_timeout_s=5.0)  # fmt: skip
        session.receive(wire.pack({"type": "hello", "protocol": wire.PROTOCOL}), 0, 0.0)
        session.joined()
        player = Player("Ada", {}, "", observer=0)
        data = wire.pack_event("movement", "update", {"x": 1.5, "y": -2.5, "z": 0.25})
        self.events.on_client("movement", "update", self.note)

        def once() -> None:
            for i in range(N):
                said = session.receive(data, 0, float(i))
                assert isinstance(said, Said)
                self.events.receive(ClientEvent(player, said.namespace, said.event, said.data))
            self.events.dispatch()

        return self._ns(once)

    def _columnar(self, handler: Callable[..., Any], *args: Any) -> float:
        world = hz.World(capacity=PAGE, max_events=ROWS)
        events = hz.EventSystem(world)
        events.on_plugin("combat", Hit, handler, args=args)
        records: np.ndarray[Any, Any] = np.zeros(ROWS, Hit.__hz_dtype__)  # type: ignore[attr-defined]
        records["x"] = 1.0

        def once() -> None:
            events.emit_plugin("combat", Hit, records)
            world.tick()
            events.dispatch()
            self.heard += int(events.handlers()[0].errors == 0) * ROWS

        return self._ns(once, ROWS)

    def track_columnar_event_compiled_handler(self) -> float:
        """Through a world's queue, a million in a tick."""
        total = np.zeros(1)
        ns = self._columnar(add_up, total)
        assert total[0] == (REPEATS + 1) * ROWS
        return ns

    def track_columnar_event_numpy_handler(self) -> float:
        return self._columnar(lambda batch: batch.x.sum())


_TRACKS = [name for name in vars(Events) if name.startswith("track_")]
for _name in _TRACKS:
    getattr(Events, _name).unit = Events.unit


def measure() -> dict[str, float]:
    """Nanoseconds by what was measured."""
    found = {}
    for name in _TRACKS:
        bench = Events()
        bench.setup()
        found[name.removeprefix("track_").replace("_", " ")] = getattr(bench, name)()
    return found


def table(found: dict[str, float]) -> Table:
    """A row each."""
    head = ["", "ns an event", "a second", "by the guide's 50,000"]
    rows = [[name, number(ns), f"{1e9 / ns:,.0f}", f"{1e9 / ns / BAR_A_SECOND:,.1f} ×"] for name, ns in found.items()]
    return head, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print everything, or write it down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_events", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write the table between the markers of a document: docs/benchmarks.md")  # fmt: skip
    given = parser.parse_args(arguments)
    found = measure()
    lines = [where(machine()), f"{N:,} events, or {ROWS:,} rows of a columnar one; the best of {REPEATS} runs."]
    if given.write:
        document.write(given.write, MARKERS, document.blocks(lines, [table(found)]))
    document.show(lines, [table(found)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
