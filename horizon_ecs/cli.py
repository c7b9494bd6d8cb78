"""The command line: `python -m horizon_ecs`, also installed as `horizon-ecs`."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from horizon_ecs import __version__
from horizon_ecs.errors import HorizonError, ListenError

# What a command needs is imported when it runs: `--help` shall not wait for a compiler.

MAX_CLIENTS = 1_000
A_RECORDING = "what --record, a WorldRecorder or Replicator.record made"
FOLLOWED = 16_384  # of the demo: its outermost ring holds half the world


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 where it failed or found mismatches, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    try:
        return int(options.command(options))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (HorizonError, OSError) as error:
        print(f"horizon-ecs: {_in_words(error, options)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _in_words(error: Exception, options: argparse.Namespace) -> str:
    if isinstance(error, ListenError):
        hint = "; choose another with --port (0: any)" if error.errno == errno.EADDRINUSE else ""
        return f"{error.strerror}{hint}"
    return str(error)


# -- arguments ---------------------------------------------------------------------------------------------------------


def _number(kind: type, low: float, high: float) -> Callable[[str], Any]:
    """A number within bounds, for argparse."""

    def parse(text: str) -> Any:
        try:
            value = kind(text.replace("_", ""))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {'whole ' if kind is int else ''}number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must lie between {low} and {high}, not {text}")
        return value

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="horizon-ecs", description="Thousands of moving things that thousands of clients watch.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"horizon-ecs {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_replay(commands)
    _add_play(commands)
    _add_recording(commands)
    _add_bench(commands)
    _add_plan(commands)
    _add_bytes(commands)
    _add_configuration(commands)
    _add_top(commands)
    _command(commands, "doctor", _doctor, "Tell what this machine offers, and what to do about what it lacks.")
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=help_, description=help_, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.set_defaults(command=run)
    made.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return made


def _add_serving(parser: argparse.ArgumentParser, seconds: str) -> None:
    add = parser.add_argument
    add("--clients", type=_number(int, 0, MAX_CLIENTS), default=0, metavar="N",
        help="simulated clients over real sockets, each of which checks every value it decodes")  # fmt: skip
    add("--seconds", type=_number(float, 0.1, 1e7), metavar="S", help=seconds)
    add("--record", type=Path, metavar="FILE", help="record the whole world into a new file, for `horizon-ecs play`")
    _add_address(parser)


def _add_address(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", help="address to listen on; default 127.0.0.1")
    add("--port", type=_number(int, 0, 65_535), metavar="P", help="0 lets the system pick one; default 8080")
    _add_config(parser)


def _add_config(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="settings (see `horizon-ecs config example`)")
    add("--set", type=_assignment, action="append", default=[], metavar="KEY=VALUE",
        help="one setting above file and environment, such as server.max_connections=100; may be repeated")  # fmt: skip


def _assignment(text: str) -> tuple[str, str]:
    """A key and its value, for argparse."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY=VALUE, such as server.max_connections=100")
    return key.strip(), value.strip()


def _add_demo(commands: Any) -> None:
    text = "Serve the demo world: ships that drift, and one for each client to steer."
    parser = _command(commands, "demo", _demo, text)
    add = parser.add_argument
    add("--entities", type=_number(int, 10, 1_000_000), default=10_000, metavar="N", help="ships and stations")
    add("--seed", type=_number(int, 0, 2**63 - 1), default=1, metavar="N", help="of where they are")
    _add_serving(parser, "serve so long; without, until Ctrl+C")


def _add_replay(commands: Any) -> None:
    parser = _command(commands, "replay", _replay, "Play recorded tracks as a world, and serve it.")
    add = parser.add_argument
    add(
        "tracks", type=Path, metavar="TRACKS", help=".npz or .csv with id, frame, x, y[, z] and a rate (docs/tracks.md)"
    )
    add("--rate", type=_number(float, 0.01, 10_000), metavar="HZ", help="frames a second, if the file doesn't say")
    add("--speed", type=_number(float, 0.01, 100), default=1.0, metavar="X", help="times the recording's own rate")
    add("--precision", type=_number(float, 1e-6, 1e3), default=1 / 512, metavar="M", help="in the file's units")
    add("--radius", type=_number(float, 1e-3, 1e12), metavar="R", help="who is so near is seen; without, everybody is")
    _add_serving(parser, "serve so long; without, loop until Ctrl+C, or with --clients play the recording once")


def _add_play(commands: Any) -> None:
    text = (
        "Play a recording to the page and any client; ?tick=600&speed=2&observer=1 behind the address goes elsewhere."
    )
    parser = _command(commands, "play", _play, text)
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=A_RECORDING)
    add("--speed", type=_number(float, 0, 100), default=1.0, metavar="X", help="times the recording's own; 0: paused")
    add("--loop", action="store_true", help="begin again at the end")
    add("--observer", type=_number(int, 0, 2**32 - 1), default=0, metavar="N", help="whose view, by its number in FILE")
    add("--seconds", type=_number(float, 0.1, 1e7), metavar="S", help="serve so long; without, until Ctrl+C")
    _add_address(parser)


def _add_recording(commands: Any) -> None:
    parser = _command(commands, "recording", _recording, "Tell what a recording holds, and hold it to its checksums.")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="made by --record, a WorldRecorder or Replicator.record"
    )


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="Measure.", description="Measure.")
    what = bench.add_subparsers(required=True, metavar="WHAT")
    add = _command(what, "tick", _bench_tick, "Time the whole tick, without sockets.").add_argument
    add("--entities", type=_number(int, 100, 10_000_000), default=100_000, metavar="N", help="all of them moving")
    add("--observers", type=_number(int, 1, 1_000_000), default=10_000, metavar="N", help="each at its own entity")
    add("--density", type=_number(float, 1e-9, 1e6), default=0.001, metavar="D", help="entities per square unit")
    add("--hot-spot", type=_number(int, 1, 4_000), default=0, metavar="N",
        help="a crowd in the middle, where an observer follows N; without, all stand evenly")  # fmt: skip
    add("--hot-share", type=_number(float, 1e-6, 1.0), default=0.33, metavar="S",
        help="the part of the entities that stand in the crowd; default 0.33")  # fmt: skip
    add("--ticks", type=_number(int, 10, 1_000_000), default=300, metavar="T", help="ticks that are timed")
    add("--threads", type=_number(int, 1, 256), metavar="N", help="at most so many; by default one a core")
    load = _command(what, "decode", _bench_decode, "Time clients that decode a recording, without sockets.")
    load.add_argument("file", type=Path, metavar="FILE", help="a recording")
    load.add_argument(
        "--clients", type=_number(int, 1, 100_000), default=100, metavar="N", help="each decodes all of it"
    )


def _add_scene(parser: argparse.ArgumentParser, *, clients: int) -> None:
    """What a crowd is, for those commands that don't take a program's own kinds."""
    add = parser.add_argument
    add("--entities", type=_number(int, 1, 100_000_000), default=10_000, metavar="N", help="spread over a square")
    add("--clients", type=_number(int, 1, 2**20), default=clients, metavar="N", help="each at an entity")
    add("--density", type=_number(float, 1e-9, 1e6), default=0.001, metavar="D", help="entities per square unit")
    add("--layers", type=_layers, default="50:30,100:15,140:10,178:2", metavar="R:HZ,…", help="of channels 0, 1, …")
    add("--precision", type=_number(float, 1e-6, 1e6), default=1 / 64, metavar="U", help="world units a step")
    add("--speed", type=_number(float, 0, 1e6), default=5.0, metavar="V", help="world units a second")
    add("--turns", type=_number(float, 0, 1e4), default=0.5, metavar="T", help="turns a second of each entity")
    add("--changes", type=_number(float, 0, 1e4), default=0.1, metavar="C", help="changes a second of its health")
    add("--rate", type=_number(float, 0.01, 10_000), default=60.0, metavar="HZ", help="ticks a second")


def _add_configuration(commands: Any) -> None:
    about = "Look at the settings of servers."
    config = commands.add_parser("config", help=about, description=about)
    what = config.add_subparsers(required=True, metavar="WHAT")
    check = _command(what, "check", _config_check, "Tell all that is wrong with a file of settings.")
    check.add_argument("file", type=Path, metavar="FILE", help="a file of settings")
    show = _command(what, "show", _config_show, "Print what holds in the end, and who said so.")
    _add_config(show)
    _command(what, "example", _config_example, "Print a file with every setting, its default and what it means.")


def _layers(text: str) -> list[tuple[float, float]]:
    """Radius and frequency of each channel, for argparse."""
    try:
        return [(float(radius), float(hertz)) for radius, hertz in (each.split(":") for each in text.split(","))]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of radius:hertz, such as 50:30,178:2") from None


def _add_plan(commands: Any) -> None:
    text = "Tell what a crowd and its clients will cost: pairs, updates, bytes, milliseconds, memory."
    parser = _command(commands, "plan", _plan, text)
    _add_scene(parser, clients=1_000)
    parser.add_argument("--measure", action="store_true", help="calibrate milliseconds on this machine")
    parser.add_argument("--check", action="store_true", help="build the very crowd, run it, and compare")


def _add_bytes(commands: Any) -> None:
    parser = _command(commands, "bytes", _bytes, "Tell where the bytes of a crowd's frames go, to the bit.")
    _add_scene(parser, clients=100)
    parser.add_argument(
        "--by", default="section,channel", metavar="A,B", help="observer, section, kind, channel, group, field"
    )
    parser.add_argument(
        "--ticks", type=_number(int, 1, 1_000_000), default=120, metavar="T", help="ticks that are counted"
    )


def _configured(options: argparse.Namespace, **base: Any) -> Any:
    """The configuration that a call asks for, above what the command itself begins with."""
    from horizon_ecs.config import ServerConfig

    config = ServerConfig.load(options.config, overrides=dict(options.set), base=ServerConfig(**base))
    given = {name: getattr(options, name, None) for name in ("host", "port")}
    return config.moved(**{name: value for name, value in given.items() if value is not None})


def _add_top(commands: Any) -> None:
    text = "Watch a running server: health, ticks, connections, traffic, systems, events. It only reads."
    parser = _command(commands, "top", _top, text)
    add = parser.add_argument
    add("url", metavar="URL", help="such as http://127.0.0.1:8080, or that of its metrics_port")
    # Not as a default, which --help would show.
    add("--token", metavar="T", help="its metrics_token; better in the environment, as HORIZON_METRICS_TOKEN")
    add("--interval", type=_number(float, 0.1, 3_600), default=1.0, metavar="S", help="seconds between two looks")
    add("--count", type=_number(int, 1, 10**9), metavar="N", help="look so often; without, until Ctrl+C")


# -- commands ----------------------------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> int:
    from horizon_ecs import demo, kernel
    from horizon_ecs.progress import reporting

    config = _configured(options, max_followed=FOLLOWED, max_connections=MAX_CLIENTS + 24)
    with ExitStack() as compiling:
        kernel.report_progress(compiling.enter_context(reporting("Compiling")))
        world = demo.build(options.entities, options.seed)

        def make_server(**more: Any) -> Any:
            return demo.make_server(world, config, **more)

        return _serve(options, make_server, f"{options.entities:,} ships and stations", compiling)


def _replay(options: argparse.Namespace) -> int:
    from horizon_ecs import kernel
    from horizon_ecs.net.server import Server
    from horizon_ecs.progress import reporting
    from horizon_ecs.replay import replay_world
    from horizon_ecs.tracks import load_tracks

    tracks = load_tracks(options.tracks, options.rate)
    once = options.seconds is None and options.clients > 0
    config = _configured(options, max_connections=MAX_CLIENTS + 24)
    with ExitStack() as compiling:
        kernel.report_progress(compiling.enter_context(reporting("Compiling")))
        replay = replay_world(
            tracks, precision=options.precision, radius=options.radius, speed=options.speed, loop=not once
        )
        replay.paused = once  # nothing is to be missed while the clients join
        x0, y0, x1, y1 = tracks.bounds
        about = {"title": f"Horizon ECS: {options.tracks.name}", "bounds": [x0, y0, x1, y1]}

        def make_server(after_tick: Any = None) -> Any:
            def after(server: Server) -> None:
                if after_tick:
                    after_tick(server)
                if replay.done:
                    server.request_stop()

            def join(world: Any, player: Any) -> None:
                player.position = (x0 + x1) / 2, (y0 + y1) / 2

            return Server(replay.world, config, on_join=join, after_tick=after, about=about)

        def play() -> None:
            replay.paused = False

        what = f"{tracks.n_ids:,} tracks of {options.tracks.name} at {replay.world.tick_rate:g} Hz"
        return _serve(options, make_server, what, compiling, play)


def _serve(
    options: argparse.Namespace, make_server: Any, what: str, compiling: ExitStack,
    ready: Callable[[], None] = lambda: None
) -> int:  # fmt: skip
    from horizon_ecs import kernel
    from horizon_ecs.host import host

    def announce(server: Any) -> None:
        kernel.report_progress(None)
        compiling.close()  # takes the bar away
        print(f"Serving {what} on {server.url} (stop with Ctrl+C)", flush=True)
        if options.clients:
            print(f"{options.clients} simulated clients join and check what they are told", flush=True)

    with _recorded(options, make_server) as make:
        result = host(make, n_clients=options.clients, seconds=options.seconds, announce=announce, ready=ready)
    error = result.pop("error", None)
    checked = {"checked_values", "mismatches", "first_mismatch"}
    shown = {key: value for key, value in result.items() if options.clients or options.json or key not in checked}
    _print_report(shown, options)
    if error:
        print(f"horizon-ecs: the simulated clients: {error}", file=sys.stderr)
    return 1 if error or result["mismatches"] else 0


@contextmanager
def _recorded(options: argparse.Namespace, make_server: Any) -> Iterator[Any]:
    """Have a server record its world after each tick, if that was asked for."""
    if options.record is None:
        yield make_server
        return
    from horizon_ecs.recorder import WorldRecorder

    recorders: list[WorldRecorder] = []

    def make(after_tick: Any = None) -> Any:
        def after(server: Any) -> None:
            recorders[0].step()
            if after_tick:
                after_tick(server)

        server = make_server(after_tick=after)
        recorders.append(WorldRecorder(server.world, options.record, about=server.about))
        return server

    try:
        yield make
    finally:
        for recorder in recorders:
            recorder.close()
            if not recorder.n_frames:  # it never began to serve: the name is free for another attempt
                options.record.unlink()
    print(f"Recorded into {options.record}", flush=True)


def _open(path: Path) -> Any:
    """A recording, with progress where it has to be read through, and a word where some of it is lost."""
    from horizon_ecs.progress import reporting
    from horizon_ecs.recording import open_recording

    with reporting("Reading") as report:
        recording = open_recording(path, progress=lambda done, total: report(done, total, "bytes"))
    if not recording.complete:
        lost = f"; its last {recording.lost_bytes:,} bytes are lost" if recording.lost_bytes else ""
        print(f"horizon-ecs: {path} was cut off, or is still being written{lost}", file=sys.stderr)
    return recording


def _play(options: argparse.Namespace) -> int:
    from horizon_ecs.net.playback import Playback

    def announce(playback: Playback) -> None:
        what = f"{options.file.name}, {recording.duration_s:,.1f} s of {len(recording.observers)} observers,"
        print(f"Playing {what} on {playback.url} (stop with Ctrl+C)", flush=True)

    with _open(options.file) as recording:
        config = _configured(options)
        shown = {"observer": options.observer, "speed": options.speed, "loop": options.loop}
        playback = Playback(recording, config, **shown)
        playback.run(started=announce, seconds=options.seconds)
    _print_report(playback.report(), options)
    return 0


def _recording(options: argparse.Namespace) -> int:
    from horizon_ecs.progress import reporting

    with _open(options.file) as recording:
        with reporting("Checking") as report:
            recording.verify(lambda done, total: report(done, total, "bytes"))
        _print_report(recording.summary(), options)
    return 0


def _bench_decode(options: argparse.Namespace) -> int:
    from horizon_ecs.feeding import decode_load
    from horizon_ecs.progress import reporting

    with _open(options.file) as recording, reporting("Decoding") as report:
        result = decode_load(recording, options.clients, lambda done, total: report(done, total, "ticks"))
    _print_report(result, options)
    return 0


def _print_report(result: dict[str, Any], options: argparse.Namespace) -> None:
    """As JSON on one line, or for people."""
    if options.json:
        print(json.dumps(result), flush=True)
        return
    width = max(len(key) for key in result)
    for key, value in result.items():
        shown = f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        if isinstance(value, bool):
            shown = "yes" if value else "no"
        if isinstance(value, list):
            shown = " ".join(str(item) for item in value)
        print(f"  {key:<{width}}  {shown}")


def _bench_tick(options: argparse.Namespace) -> int:
    from horizon_ecs import kernel
    from horizon_ecs.bench import bench_tick
    from horizon_ecs.progress import reporting

    with reporting("Working") as report:
        kernel.report_progress(report)
        result = bench_tick(
            entities=options.entities, observers=options.observers, density=options.density, ticks=options.ticks,
            threads=options.threads, hot_spot=options.hot_spot, hot_share=options.hot_share, progress=report
        )  # fmt: skip
    _print_report(result, options)
    return 1 if result["mismatches"] else 0


def _planned(options: argparse.Namespace, measure: bool = False) -> Any:
    from horizon_ecs import bench
    from horizon_ecs.capacity import Population, plan

    kind = bench.ship(options.layers, options.precision)
    crowd = Population(kind, options.entities, options.speed, turns_per_s=options.turns, changes_per_s=options.changes)
    return plan(crowd, clients=options.clients, density=options.density, tick_rate=options.rate, measure=measure)


def _plan(options: argparse.Namespace) -> int:
    made = _planned(options, options.measure)
    checked = made.check() if options.check else None
    if options.json:
        print(json.dumps({**made.to_dict(), **({"check": checked.to_dict()} if checked else {})}))
    else:
        print(made if checked is None else f"{made}\n\n{checked}")
    return 0


def _bytes(options: argparse.Namespace) -> int:
    from horizon_ecs.rehearsal import WARM_TICKS, Rehearsal

    run = Rehearsal(_planned(options).scene)
    for _ in range(WARM_TICKS):
        run.tick()
    with run.replicator.meter_bytes() as meter:
        for _ in range(options.ticks):
            run.tick()
    table = meter.bytes_by(*(name for name in options.by.split(",") if name))
    print(json.dumps(table.to_dict()) if options.json else table)
    return 0


def _top(options: argparse.Namespace) -> int:
    from horizon_ecs.monitor.top import watch

    with suppress(KeyboardInterrupt):  # how one leaves it
        watch(
            options.url, token=options.token or os.environ.get("HORIZON_METRICS_TOKEN"), interval_s=options.interval,
            count=options.count, as_json=options.json, out=sys.stdout
        )  # fmt: skip
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from horizon_ecs.doctor import examine

    found = examine()
    advice = found["advice"] if options.json else found.pop("advice")
    _print_report(found, options)
    if not options.json:
        print("\n".join(f"* {line}" for line in advice) if advice else "All is well.")
    return 0


def _config_check(options: argparse.Namespace) -> int:
    from horizon_ecs.config import ServerConfig

    ServerConfig.load(options.file, environ={})
    if options.json:
        print(json.dumps({"file": str(options.file), "sound": True}))
    else:
        print(f"{options.file} is sound.")
    return 0


def _config_show(options: argparse.Namespace) -> int:
    from horizon_ecs.configfile import described, shown

    config = _configured(options)
    print(json.dumps(shown(config)) if options.json else described(config))
    return 0


def _config_example(options: argparse.Namespace) -> int:
    from horizon_ecs.configfile import EXAMPLE

    text = EXAMPLE.read_text(encoding="utf-8")
    print(json.dumps({"text": text}) if options.json else text, end="\n" if options.json else "")
    return 0
