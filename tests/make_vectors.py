"""Write the vectors that both client libraries are held to: `python -m tests.make_vectors`.

Each is a script of calls with what came of them, for the Python classes; tests/js runs the same on the JavaScript ones.
Times are in seconds here, JavaScript's in milliseconds.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np

from horizon_ecs.callbacks import Callbacks
from horizon_ecs.interpolation import Interpolator
from horizon_ecs.net.clock import ServerClock
from horizon_ecs.prediction import Predictor
from horizon_ecs.replica import Replica

FOLDER = Path(__file__).resolve().parent / "vectors"
GOLDEN = FOLDER.parent / "golden"
SCRIPTS = ("callbacks", "clock", "interpolation", "prediction")
DIGITS = 9


def plain(value: Any) -> Any:
    """Numbers as JSON has them, rounded to what two languages compute alike."""
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value.tolist()]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def clock() -> dict[str, Any]:
    """Frames and pongs over a way of 40 ms and more with outliers, a pause, a recording that begins anew, and readings."""
    chance = random.Random(5)
    told = ServerClock(60.0)
    events: list[tuple[float, str, list[float]]] = []
    for tick in range(0, 900, 2):
        late = 0.4 if tick % 150 == 20 else chance.random() * 0.03
        pause = 3.0 if tick >= 600 else 0.0
        events.append((tick / 60 + 0.04 + late + pause, "frame", [tick]))
    for number in range(8):
        there, back = (0.3, 0.05) if number % 3 == 1 else (0.04, 0.04 + 0.01 * chance.random())
        sent = number * 1.3
        events.append((sent + there + back, "pong", [sent, int((sent + there) * 60)]))
    events += [(0.043 * step, "read", []) for step in range(1, 470)]
    events += [(20.0 + 0.1 * step, "frame", [10 + 6 * step]) for step in range(3)]
    steps = []
    arrived = -1.0
    for now, name, arguments in sorted(events):
        if name == "frame":
            if arguments[0] > 20 and now < arrived:
                continue
            arrived = now
        if name == "read":
            result = [told.tick(now), told.playout(now), told.rtt_s, told.rtt_deviation_s, told.jitter_s, told.epoch]
            steps.append(["read", now, [plain(one) for one in result]])
        else:
            getattr(told, name)(*arguments, now)
            steps.append([name, now, arguments])
    return {"tick_rate": 60.0, "steps": steps}


def interpolation() -> dict[str, Any]:
    """Golden streams under several modes, drawn a little late, early and long after the end."""
    streams: list[dict[str, Any]] = [
        {"stream": "crowd", "options": {}},
        {"stream": "fleet", "options": {"modes": {"Position": "hermite"}, "max_speed": {"Position": 600.0}, "history": 4}},
        {"stream": "fleet", "options": {"modes": {"Position": "step", "Cargo.mass": "angle"}, "max_beyond_s": 0.05}},
        {"stream": "extremes", "options": {"modes": {"Position.x": "angle"}, "blend_s": 0.5}},
        {"stream": "walkers", "options": {"blend_s": 0.05}},
        {"stream": "plane", "options": {"max_speed": {"Place": 50.0}}},
    ]  # fmt: skip
    for one in streams:
        stream = json.loads((GOLDEN / f"{one['stream']}.json").read_text())
        replica = Replica(stream["schema"], phase=stream["phase"])
        drawn = Interpolator(replica, tick_rate=60.0, **one["options"])
        one["steps"] = []
        for number, frame in enumerate(stream["frames"]):
            replica.apply(bytes.fromhex(frame))
            now = replica.tick - 0.75 + 3 * math.sin(number)
            drawn.update(now)
            if number % 5 == 0 or number == len(stream["frames"]) - 1:
                one["steps"].append([number, now, _drawn(drawn, now), _drawn(drawn, now + 4.5)])
            else:
                one["steps"].append([number, now])
    return {"tick_rate": 60.0, "streams": streams}


def _drawn(drawn: Interpolator, tick: float) -> dict[str, list[Any]]:
    """Of every column how many have a value, the first and the last such value, and the sum."""
    out = {}
    for name, column in drawn.sample(tick).items():
        known = column[~np.isnan(column)]
        if len(known):
            out[name] = [len(known), plain(float(known[0])), plain(float(known[-1])), plain(float(known.sum()))]
    return out


def glide(state: Any, given: Any) -> None:
    """The step of the prediction's script: a body with a speed, and where it looks."""
    state[1] += given[0]
    state[0] += state[1] / 60
    state[2] += given[1]


def prediction() -> dict[str, Any]:
    """Inputs, answers five steps later (some of them other than predicted), one refused, and a new start."""
    chance = random.Random(9)
    mine = Predictor(glide, [0.0, 0.0, 3.0], tolerance=[1e-3, 1e-3, 1e-3], max_error=2.0, angles=[2], max_pending=12)
    real = np.array([0.0, 0.0, 3.0])
    waiting: list[tuple[int, list[float]]] = []
    steps: list[list[Any]] = []

    def note(name: str, *arguments: Any) -> Any:
        result = getattr(mine, name)(*arguments)
        counts = [
            mine.n_pending,
            mine.n_predicted,
            mine.n_acknowledged,
            mine.n_mispredictions,
            mine.n_snaps,
            mine.n_refused,
        ]
        steps.append([name, [plain(one) for one in arguments], plain(result), plain(mine.state), counts])
        return result

    for tick in range(120):
        given = [round(chance.random() - 0.5, 3), 0.11]
        sequence = note("predict", given, tick + 0.25)
        if sequence:
            waiting.append((sequence, given))
        note("shown", tick + 0.5)
        silent = 60 <= tick < 80
        if len(waiting) > 5 and not silent:
            sequence, given = waiting.pop(0)
            glide(real, given)
            if tick in (30, 31, 90):
                real[0] += 40.0 if tick == 90 else 0.5
            told = [
                float(f"{real[0]:.4f}"),
                math.nan if tick % 2 else float(f"{real[1]:.4f}"),
                float(math.remainder(real[2], math.tau)),
            ]
            note("reconcile", np.array(told), sequence, tick + 0.75)
            note("shown", tick + 0.8)
    note("restart", [1.0, 0.0, 0.0])
    note("predict", [0.5, 0.0], 130.0)
    note("reconcile", [1.0, 0.0, 0.0], 2, 130.5)
    return {"steps": steps}


def callbacks() -> dict[str, Any]:
    """What is told of golden streams: of everybody, and of one kind."""
    streams = []
    for name, kind in (("heralds", "Herald"), ("crowd", "Drone")):
        stream = json.loads((GOLDEN / f"{name}.json").read_text())
        replica, calls = Replica(stream["schema"], phase=stream["phase"]), Callbacks()
        told: list[list[Any]] = []
        _listen(calls, told, None)
        _listen(calls, told, kind)
        steps = []
        for frame in stream["frames"]:
            replica.apply(bytes.fromhex(frame))
            calls.frame(replica)
            steps.append(list(told))
            told.clear()
        streams.append({"stream": name, "kind": kind, "steps": steps})
    return {"streams": streams}


def _listen(calls: Callbacks, told: list[list[Any]], kind: str | None) -> None:
    calls.on_enter(lambda handle, row: told.append(["enter", str(handle), row]), kind=kind)
    calls.on_update(lambda handle, row: told.append(["update", str(handle), row]), kind=kind)
    calls.on_leave(lambda handle: told.append(["leave", str(handle)]), kind=kind)
    calls.on_event(lambda name, handle, values: told.append(["event", name, str(handle), len(values)]))


def make(name: str) -> dict[str, Any]:
    """One script, by its name."""
    made: dict[str, Any] = globals()[name]()
    return json.loads(json.dumps(made))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in SCRIPTS:
        (FOLDER / f"{name}.json").write_text(json.dumps(make(name), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
