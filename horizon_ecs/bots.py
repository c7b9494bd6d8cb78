"""Bots: simulated clients over real sockets, in a process of their own, that check every value they are told.

The serving process writes what each tick was into shared memory (`record`); here an oracle works out by brute force
what each client must know after it (`oracle`), and what each frame made of its table is compared with that, bit for
bit.

    python -m horizon_ecs.bots URL --clients N --record NAME
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from horizon_ecs import kernel
from horizon_ecs.errors import CapacityError, ConnectionClosed, HorizonError
from horizon_ecs.net import wire
from horizon_ecs.net.client import Client, connect
from horizon_ecs.oracle import Oracle
from horizon_ecs.record import Record, RecordReader, RecordWriter, capture

NAME = "bot"
STEER_INTERVAL_S = 0.5
FRAME_TIMEOUT_S = 10.0
LAG_TIMEOUT_S = 5.0  # the bots may keep the server waiting so long
WRITE_TIMEOUT_S = 0.1
JOINS_AT_ONCE = 32
POLL_S = 0.001
N_RECORDS = 64  # about a second of ticks, by which the bots may lag behind the server


class Recorder:
    """In the serving process: writes every tick for the bots; give its `write` to the server as `after_tick`."""

    def __init__(self) -> None:
        self.writer: RecordWriter | None = None
        self._begun = self._ended = False

    def write(self, server: Any) -> None:
        """Write the tick that has just ended."""
        if self.writer is None or self._ended:
            return
        # By the memory's name, which nobody else can know.
        name = self.writer.name
        bots = [observer for observer, player in server.players.items() if player.about.get("record") == name]
        self._begun = self._begun or len(bots) > 0
        if not self._begun:
            return  # nobody reads yet
        self._write(self.writer, capture(server.replicator, bots))

    def _write(self, writer: RecordWriter, record: Record) -> None:
        """Write as soon as there is room, unless it is the end: then nobody makes room any more."""
        waited_s = 0.0
        while not self._ended:
            try:
                writer.write(record)
                return
            except CapacityError:
                waited_s += writer.timeout_s
                if waited_s > LAG_TIMEOUT_S:
                    raise

    def open(self, server: Any, n_clients: int) -> str:
        """Lay out the memory; its name. The server must not be ticking yet."""
        self.writer = RecordWriter(
            server.replicator, max_observers=n_clients, n_records=N_RECORDS, timeout_s=WRITE_TIMEOUT_S
        )
        return self.writer.name

    def end(self) -> None:
        """Write no more: from now on nobody may be reading."""
        self._ended = True

    def close(self) -> None:
        """Give the memory back; nobody may be writing."""
        if self.writer is not None:
            self.writer.close()


class Bots:
    """The process of the bots, as the serving process sees it."""

    def __init__(self, url: str, n_clients: int, record: str) -> None:
        self._command = [sys.executable, "-m", "horizon_ecs.bots", url, "--clients", str(n_clients), "--record", record]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until all of them have joined. Raises HorizonError where they can't."""
        # In a session of its own, so that Ctrl+C reaches us alone and the bots can report.
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        said = await self._read()
        if "ready" not in said:
            raise HorizonError(f"the simulated clients could not start: {said.get('error', 'they ended')}")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def wait(self) -> None:
        """Wait until it ends by itself, which it doesn't unless something went wrong."""
        if self._process is not None:
            await self._process.wait()

    async def finish(self) -> dict[str, Any]:
        """End it; what the bots counted."""
        if self._process is None:
            return {}
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(2 * FRAME_TIMEOUT_S):
                said = await self._read()
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            said = {"error": "the simulated clients did not end in time"}
        return said

    async def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        return dict(json.loads(line)) if line else {"error": f"they ended with {await self._process.wait()}"}


class _Judge:
    """Advances the oracle record by record; whoever got a frame in a tick applies it and is compared."""

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader
        self._oracle = Oracle(reader.schema, hysteresis=reader.hysteresis)
        self._clients: dict[int, asyncio.Future[Client]] = {}
        self.checked = self.mismatches = 0
        self.first = ""

    def add(self, client: Client) -> None:
        """A client's handshake is through."""
        self._client(client.observer).set_result(client)

    def _client(self, observer: int) -> asyncio.Future[Client]:
        """A record may speak of a client before its handshake is through here."""
        if observer not in self._clients:
            self._clients[observer] = asyncio.get_running_loop().create_future()
        return self._clients[observer]

    async def run(self) -> None:
        while True:
            record = self._reader.read()
            if record is not None:
                await self._judge(record)
                await asyncio.sleep(0)  # others join and steer meanwhile
            elif self._reader.ended:
                return
            else:
                await asyncio.sleep(POLL_S)

    async def _judge(self, record: Record) -> None:
        for row in record.observers:
            if int(row["key"]) not in self._oracle:
                self._oracle.add_observer(int(row["key"]), phase=int(row["phase"]))
        for observer in self._oracle.advance(record):
            async with asyncio.timeout(FRAME_TIMEOUT_S):
                replica = await (await self._client(observer)).next_frame()
            if replica.tick != record.tick:
                self._note(f"observer {observer}: a frame of tick {replica.tick}, expected {record.tick}", 0, 1)
                continue
            verdict = self._oracle.compare(observer, replica)
            self._note(verdict.first, verdict.checked, verdict.mismatches)

    def _note(self, what: str, checked: int, mismatches: int) -> None:
        self.checked += checked
        self.mismatches += mismatches
        if mismatches and not self.first:
            self.first = what


async def _join(url: str, n_clients: int, record: str, judge: _Judge) -> list[Client]:
    """Connect all of them, so many at a time."""
    turns = asyncio.Semaphore(JOINS_AT_ONCE)

    async def join() -> Client:
        async with turns:
            client = await connect(url, name=NAME, about={"record": record}, timeout_s=30.0)
        judge.add(client)
        return client

    return await asyncio.gather(*(join() for _ in range(n_clients)))


async def _steer(clients: Sequence[Client]) -> None:
    """Send everybody somewhere else from time to time, if the server lets them."""
    if not any(event["name"] == "steer" for event in clients[0].welcome["schema"]["events"]):
        return
    step = 0
    while True:
        for number, client in enumerate(clients):
            angle = 2.4 * number + 0.35 * step * (1 + number % 3)
            await client.send("steer", x=math.cos(angle), y=math.sin(angle))
            await asyncio.sleep(STEER_INTERVAL_S / len(clients))
        step += 1


async def _until_stdin_ends() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _play(url: str, n_clients: int, record: str) -> dict[str, Any]:
    with RecordReader(record) as reader:
        judge = _Judge(reader)
        judging = asyncio.ensure_future(judge.run())
        clients = await _join(url, n_clients, record, judge)
        print(json.dumps({"ready": n_clients}), flush=True)
        ending, steering = asyncio.ensure_future(_until_stdin_ends()), asyncio.ensure_future(_steer(clients))
        await asyncio.wait([judging, ending], return_when=asyncio.FIRST_COMPLETED)
        error = next((task.exception() for task in (judging, ending) if task.done() and task.exception()), None)
        tasks = [judging, ending, steering]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients))
    replicas = [client.replica for client in clients]
    result = {
        "clients": n_clients, "checked_values": judge.checked, "mismatches": judge.mismatches, "first": judge.first,
        "frames": sum(r.n_frames for r in replicas), "received_bytes": sum(r.n_bytes for r in replicas),
        "received_updates": sum(r.n_updates for r in replicas),
    }  # fmt: skip
    return {**result, "error": f"{type(error).__name__}: {error}"} if error and not _is_goodbye(error) else result


def _is_goodbye(error: BaseException | None) -> bool:
    return isinstance(error, ConnectionClosed) and error.code in (1000, wire.Close.STOPPING)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bots until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m horizon_ecs.bots", description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--record", required=True, help="name of the shared memory that the server writes")
    options = parser.parse_args(arguments)
    with contextlib.suppress(KeyboardInterrupt):
        kernel.warm_up("decode")
        try:
            result = asyncio.run(_play(options.url, options.clients, options.record))
        except (HorizonError, OSError, TimeoutError) as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(BrokenPipeError):  # whoever started us is gone
            print(json.dumps(result), flush=True)
        return 1 if "error" in result else 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
