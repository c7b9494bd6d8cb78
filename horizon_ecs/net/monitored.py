"""Monitored: the part of a server that tells how it is doing."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from http import HTTPStatus

from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.http11 import Request, Response

from horizon_ecs.errors import ArgumentError, ListenError
from horizon_ecs.monitor.collector import MetricsCollector
from horizon_ecs.monitor.exporter import Exporter, TickHistograms
from horizon_ecs.monitor.monitor import HorizonMonitor
from horizon_ecs.monitor.sample import Flow, Sample, sample
from horizon_ecs.monitor.window import WINDOW_S
from horizon_ecs.net.connections import CLOSE_TIMEOUT_S
from horizon_ecs.net.endpoints import Endpoints, answer, answer_json, queried
from horizon_ecs.net.listening import Listening, url_of
from horizon_ecs.net.players import Seat
from horizon_ecs.net.stage import Stage
from horizon_ecs.net.wire import Close
from horizon_ecs.ticker import REMEMBERED

HUNG_S = 10.0  # a tick that takes longer has come to nothing
FOLD_S = 60.0  # at most, between two looks at what the ticker remembers


class Monitored(Listening):
    """A server's metrics, and the addresses where they are to be had.

    Attributes
    ----------
    monitor : HorizonMonitor
        Of this server. Its `event_system` may be set, its `thresholds` be others.
    """

    _stage: Stage
    monitor: HorizonMonitor

    def _set_up_monitoring(self, metrics: MetricsCollector | None) -> None:
        """Once connections and stage are there."""
        if metrics is not None and not isinstance(metrics, MetricsCollector):
            raise ArgumentError(f"metrics must be a MetricsCollector, not {metrics!r}")
        self._ticks = TickHistograms(self._stage.ticker, self._stage.world.tick_rate)
        self._metrics_listener: WebSocketServer | None = None
        self._folding: asyncio.TimerHandle | None = None
        self._metrics = metrics
        if metrics is None and self.config.metrics:
            with contextlib.suppress(ArgumentError):  # without the extra a server does all else
                self._metrics = MetricsCollector()
        self.monitor = HorizonMonitor(None, self)
        if self._metrics is not None:
            collector = self._metrics
            collector.attach(Exporter(self, self._ticks, lambda: collector.names))
        self._endpoints = Endpoints(self._open(), self._guarded(), lambda: self.config.metrics_token)
        if self.config.metrics and self.config.metrics_port is None:
            self._connections.endpoints = self._endpoints.respond

    @property
    def metrics(self) -> MetricsCollector:
        """What it exports: its own metrics, read when they are asked for, and those that you set.

        What you set under a name of its own, such as `events_processed_total`, is exported in its place.

        Raises
        ------
        ArgumentError
            `prometheus_client` isn't installed (the extra `horizon-ecs[metrics]`), or `config.metrics` is off.
        """
        if self._metrics is None:
            if not self.config.metrics:
                raise ArgumentError("this server has no metrics: its setting metrics is off")
            MetricsCollector()  # says what is missing
            raise ArgumentError("the extra was installed after this server was made: make it anew")
        return self._metrics

    @property
    def metrics_url(self) -> str:
        """Where Prometheus is to look. Raises ArgumentError where that is nowhere, or it isn't listening yet."""
        if not self.config.metrics:
            raise ArgumentError("this server has no metrics: its setting metrics is off")
        if self.config.metrics_port is None:
            return f"{self.url}metrics"
        return f"{url_of(self._metrics_listener, self.config.metrics_host or self.config.host)}metrics"

    def sample(self) -> Sample:
        """What there is, and what was counted so far; from any thread, best the event loop's."""
        stage, counted = self._stage, dict(self._stage.counters)
        recent = math.ceil(WINDOW_S * stage.world.tick_rate)
        n, tick_ms, late_ms = stage.ticker.since(max(0, stage.ticker.n_ticks - recent))
        return replace(
            sample(stage.replicator, stage.totals, (n, stage.ticker.n_missed, tick_ms, late_ms)),
            inputs=_counted(counted, "inputs:"), inputs_dropped=_counted(counted, "inputs_dropped:"),
            flow=self._flow_of(list(self._connections.seats)), unwell=self._unwell()
        )  # fmt: skip

    def _flow_of(self, seats: list[Seat]) -> Flow:
        counted = Counter(dict(self._connections.counters))
        return Flow(
            active=len(seats), limit=self.config.max_connections, opened=counted["opened"],
            held=sum(seat.session.held for seat in seats), behind_ticks=[seat.session.behind for seat in seats],
            backlog_bytes=sum(map(waiting_bytes, seats)), holds=counted["holds"], resyncs=counted["resets"],
            rate_changes=counted["rate_changes"], refusals=_counted(counted, "refused:")
        )  # fmt: skip

    # -- endpoints ---------------------------------------------------------------------------------------------

    async def _begin_monitoring(self) -> None:
        """Listen on a port of their own, if they have one. Raises ListenError."""
        config = self.config
        if config.metrics and config.metrics_port is not None:
            host = config.metrics_host or config.host
            try:
                self._metrics_listener = await listen(
                    _never, host, config.metrics_port, process_request=self._endpoints.only, compression=None,
                    open_timeout=config.handshake_timeout_s, close_timeout=CLOSE_TIMEOUT_S, server_header="Horizon ECS"
                )  # fmt: skip
            except OSError as error:
                reason = error.strerror or str(error)
                where = f"{host} port {config.metrics_port} for metrics"
                await self._end(Close.STOPPING, "the server stops")
                raise ListenError(error.errno, f"can't listen on {where}: {reason}") from None
        self._fold()

    async def _end_monitoring(self) -> None:
        if self._folding is not None:
            self._folding.cancel()
        if self._metrics_listener is not None:
            self._metrics_listener.close()
            await self._metrics_listener.wait_closed()

    def _fold(self) -> None:
        """Take over what the ticker remembers, well before it forgets it, however seldom somebody asks."""
        self._ticks.fold()
        wait_s = min(FOLD_S, REMEMBERED / 4 / self._stage.world.tick_rate)
        self._folding = asyncio.get_running_loop().call_later(wait_s, self._fold)

    def _open(self) -> Mapping[str, Callable[[Request], Response]]:
        """What everybody is told, by path."""
        return {
            "/health": lambda request: _answer_state(self._unwell()),
            "/ready": lambda request: _answer_state(self._unready()),
        }

    def _guarded(self) -> Mapping[str, Callable[[Request], Response]]:
        """What only who may know is told, by path."""
        return {"/metrics": self._answer_metrics, "/status": self._answer_status}

    def _answer_metrics(self, request: Request) -> Response:
        accept, encoding = (",".join(request.headers.get_all(name)) for name in ("Accept", "Accept-Encoding"))
        body, headers = self.metrics.export(accept, encoding, queried(request, "name[]"))
        return answer(HTTPStatus.OK, body, headers.pop("Content-Type"), **headers)

    def _answer_status(self, request: Request) -> Response:
        report = self.monitor.generate_report()
        alerts = [asdict(alert) for alert in self.monitor.should_alert(report)]
        return answer_json(HTTPStatus.OK, {**report.to_dict(), "alerts": alerts})

    def _unwell(self) -> str:
        """Why it should be started again."""
        ticker = self._stage.ticker
        if ticker.error is not None:
            return f"a tick failed: {type(ticker.error).__name__}"
        if not ticker.is_alive and not ticker.stopping:
            return "it doesn't tick"
        # The first tick may wait for machine code.
        late_s = time.perf_counter() - ticker.pacer.due_s
        return f"a tick has been going on for {late_s:.0f} s" if ticker.n_ticks and late_s > HUNG_S else ""

    def _unready(self) -> str:
        """Why nobody should be sent here."""
        if wrong := self._unwell():
            return wrong
        if self._stop.is_set() or self._stage.ticker.stopping:
            return "it stops"
        if not self._stage.ticker.n_ticks:
            return "it hasn't ticked yet"
        return "it is at capacity" if self.n_clients >= self.config.max_connections else ""


def _answer_state(wrong: str) -> Response:
    if wrong:
        return answer_json(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unavailable", "reason": wrong})
    return answer_json(HTTPStatus.OK, {"status": "ok"})


async def _never(connection: ServerConnection) -> None:
    """No request for a WebSocket gets so far."""


def _counted(counters: dict[str, int], prefix: str) -> dict[str, int]:
    return {key[len(prefix) :]: n for key, n in sorted(counters.items()) if key.startswith(prefix)}


def waiting_bytes(seat: Seat) -> int:
    """Bytes that a connection has yet to send."""
    try:
        return int(seat.connection.transport.get_write_buffer_size())
    except RuntimeError:  # asked from another thread, while it sends
        return 0
