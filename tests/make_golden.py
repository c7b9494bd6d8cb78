"""Writes tests/golden/: short streams from seeded worlds, frame by frame, with the table a client must have after each.

Run `python -m tests.make_golden` where the wire's version changes, and never to make a test pass.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import horizon_ecs as hz
from tests import make_vectors
from tests.speech import Speaking
from tests.streams import (
    Hull,
    Place,
    Position,
    Stage,
    Watcher,
    kinds_of,
    play,
    stateful,
    table_of,
    texts_of,
    told_by,
    walkers_of,
)  # fmt: skip

FOLDER = Path(__file__).resolve().parent / "golden"


def _record(stage: Stage, watcher: Watcher, tables: list[Any], n_ticks: int, *acts: Callable[[Stage], None]) -> None:
    """Go on, and keep the table after each frame."""
    for _ in range(n_ticks):
        play(stage, 1, *acts)
        if len(watcher.frames) > len(tables):
            rows = table_of(watcher.replica)
            tables.append({str(handle): {"mask": mask, "q": q} for handle, _, mask, _, q in rows})
            watcher.told_by_frame.append(spoken(watcher.replica))


def _start(kinds: list[hz.Kind], seed: int, max_followed: int, n_each: int) -> tuple[Stage, Watcher]:
    stage = Stage(kinds, seed=seed, hysteresis=0.1, max_followed=max_followed)
    for kind in range(len(kinds)):
        stage.spawn(kind, n_each, 30.0)
    return stage, stage.watch(phase=seed)


def crowd() -> tuple[Stage, Watcher, list[Any]]:
    """Three kinds on all channels: births, deaths, slots reused, and one who was away twice."""
    stage, watcher = _start(kinds_of(Position), 5, 7, 3)
    tables: list[Any] = []
    for away in (0, 1, 13):
        if away:
            stage.hold(watcher)
            _record(stage, watcher, tables, away, Stage.turn_over, Stage.move)
            stage.resume(watcher)
        _record(stage, watcher, tables, 14, Stage.turn_over, Stage.move)
    return stage, watcher, tables


def plane() -> tuple[Stage, Watcher, list[Any]]:
    """Two dimensions, an observer who walks about, and more than finds room; then silence."""
    stage, watcher = _start(kinds_of(Place)[1:], 6, 9, 8)

    def walk(stage: Stage) -> None:
        watcher.position = [np.float32(p) for p in stage.rng.uniform(-40, 40, 3)]
        stage.replicator.position[watcher.number] = watcher.position

    tables: list[Any] = []
    _record(stage, watcher, tables, 25, Stage.move)
    _record(stage, watcher, tables, 15, walk, Stage.disturb_places)
    _record(stage, watcher, tables, 130)
    return stage, watcher, tables


def herd() -> tuple[Stage, Watcher, list[Any]]:
    """Many who stand still and few who don't: presence as a list, as a bitmap, and none at all."""
    kinds = [hz.Kind("Sheep", Place, layers=[hz.Layer(0, 1e6, 60.0, [Place], 1 / 4)])]
    stage, watcher = _start(kinds, 7, 24, 24)
    stage.velocity[:] = 0

    def jump(stage: Stage) -> None:
        for slot in range(stage.world.tick_count % 5):
            stage.world[Place].x[3 * slot] += stage.rng.randint(-9, 10)

    tables: list[Any] = []
    _record(stage, watcher, tables, 12, jump)
    return stage, watcher, tables


def extremes() -> tuple[Stage, Watcher, list[Any]]:
    """Values from end to end of 32 bits: long codes, wrapped differences, saturation; and a layer without a predictor."""
    slow = kinds_of(Position, slow=True)[3]
    kinds = [hz.Kind("Wild", Position, Hull, layers=[hz.Layer(2, math.inf, 60.0, [Position, Hull], 1 / 16)]), slow]
    stage, watcher = _start(kinds, 8, 6, 2)
    stage.counts_updates = False

    def toss(stage: Stage) -> None:
        for slot in (0, 1):
            for component in (Position, Hull):
                for field in hz.components.fields_of(component):
                    if stage.chance(0.3):
                        bits = stage.rng.bytes(field.dtype.itemsize)
                        stage.world.column(component, field.name)[slot] = np.frombuffer(bits, field.dtype)[0]

    def nudge(stage: Stage) -> None:
        stage.world[Hull].shield[:2] += np.array(stage.rng.randint(0, 3), np.uint32)

    tables: list[Any] = []
    _record(stage, watcher, tables, 1)
    _record(stage, watcher, tables, 30, toss)
    _record(stage, watcher, tables, 20, nudge)
    _record(stage, watcher, tables, 140)
    return stage, watcher, tables


def fleet() -> tuple[Stage, Watcher, list[Any]]:
    """Profiles that change: of other radii, periods, precisions and codecs, of other components, and of none."""
    stage, watcher = _start(stateful(Position), 9, 40, 5)
    stage.counts_updates = False
    tables: list[Any] = []
    _record(stage, watcher, tables, 40, Stage.change_profiles, Stage.turn_over, Stage.move)
    stage.hold(watcher)
    _record(stage, watcher, tables, 3, Stage.change_profiles, Stage.move)
    stage.resume(watcher)
    _record(stage, watcher, tables, 20, Stage.change_profiles, Stage.move)
    return stage, watcher, tables


def walkers() -> tuple[Stage, Watcher, list[Any]]:
    """Angles, rotations, flags and numbers of small ranges, by every predictor and as they are."""
    stage, watcher = _start(walkers_of(Place), 10, 8, 3)
    stage.counts_updates = False
    tables: list[Any] = []
    _record(stage, watcher, tables, 40, Stage.move, Stage.live)
    return stage, watcher, tables


def values_of(watcher: Watcher) -> dict[str, Any]:
    """What the last table stands for, by handle, component and name."""
    rows = watcher.replica.to_dict()
    return {str(handle): plain(row["values"]) for handle, row in rows.items()}


def heralds() -> tuple[Stage, Watcher, list[Any]]:
    """Events and texts, some of them long, of those who stay, enter, leave, die and change their profiles."""
    stage = Speaking(seed=11, hysteresis=0.1, max_followed=9)
    for kind in range(3):
        stage.spawn(kind, 4, 30.0)
    watcher = stage.watch(phase=3)
    tables: list[Any] = []
    acts = Speaking.speak, Speaking.rename, Speaking.turn_over, Speaking.change_profiles, Speaking.move
    _record(stage, watcher, tables, 30, *acts)
    stage.hold(watcher)
    _record(stage, watcher, tables, 5, *acts)
    stage.resume(watcher)
    _record(stage, watcher, tables, 15, *acts)
    return stage, watcher, tables


def narrow() -> tuple[Stage, Watcher, list[Any]]:
    """More than a budget lets through: partial frames in which few go, most, or none, and a reset frame that is spread."""
    stage, watcher = _start(kinds_of(Position), 10, 40, 10)
    tables: list[Any] = []
    for factor in (1.0, 3.0):
        stage.replicator.set_budget(watcher.number, factor * stage.replicator.least_budget)
        for _ in range(15):
            stage.turn_over()
            stage.move()
            stage.world.tick()
            frames = stage.replicator.step()
            for start, stop in zip(frames.payload.tolist(), frames.stop.tolist(), strict=True):
                watcher.take(bytes(frames.buffer[start:stop]))
                rows = table_of(watcher.replica)
                tables.append({str(handle): {"mask": mask, "q": q} for handle, _, mask, _, q in rows})
                watcher.told_by_frame.append(spoken(watcher.replica))
    return stage, watcher, tables


def lulls() -> tuple[Stage, Watcher, list[Any]]:
    """An observer slowed down and quickened again, now and then while it waits for room."""
    stage, watcher = _start(kinds_of(Position), 12, 10, 4)
    tables: list[Any] = []
    for factor in (2, 8, 1, 4):
        stage.replicator.set_slowdown(watcher.number, factor)
        _record(stage, watcher, tables, 14, Stage.turn_over, Stage.move)
    return stage, watcher, tables


STREAMS = {stream.__name__: stream for stream in (crowd, plane, herd, extremes, fleet, walkers, heralds, narrow, lulls)}


def golden(name: str) -> dict[str, Any]:
    """One stream as the file has it."""
    stage, watcher, tables = STREAMS[name]()
    frames = [frame.hex() for frame in watcher.frames]
    return {
        "name": name,
        "schema": plain(stage.replicator.schema),
        "phase": watcher.twin.phase,
        "frames": frames,
        "tables": tables,
        "values": values_of(watcher),
        "told": watcher.told_by_frame,
    }


def spoken(replica: Any) -> dict[str, Any]:
    """What a client was told besides fields: the frame's events in order; of all texts, which repeat, a hash."""
    events = [[name, str(handle), record.hex()] for name, handle, record in told_by(replica)]
    texts = [
        [str(handle), name, text if isinstance(text, str) else text.hex()]
        for handle, known in sorted(texts_of(replica).items())
        for name, text in sorted(known.items())
    ]
    said = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return {"events": events, "texts": hashlib.sha256(said.encode()).hexdigest()} if events or texts else {}


def plain(value: Any) -> Any:
    """For JSON, which knows only finite numbers."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _lines(stream: dict[str, Any]) -> str:
    """One frame or table a line."""
    parts = [f'"{key}": {json.dumps(stream[key])}' for key in ("name", "schema", "phase", "values")]
    for key in ("frames", "tables", "told"):
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in stream[key])
        parts.append(f'"{key}": [\n{rows}\n]')
    return "{" + ",\n".join(parts) + "}\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in STREAMS:
        (FOLDER / f"{name}.json").write_text(_lines(golden(name)), encoding="utf-8")
    make_vectors.main()


if __name__ == "__main__":
    main()
