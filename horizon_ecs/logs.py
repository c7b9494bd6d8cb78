"""Logs: where a server that owns its process writes what happens, as text or JSON."""

from __future__ import annotations

import json
import logging
import sys
from logging.handlers import WatchedFileHandler
from typing import Any

from horizon_ecs.config import LoggingConfig

TRACE = 5
_LEVELS = {
    "trace": TRACE, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR
}  # fmt: skip
# What every record has; the rest is what was given as `extra`.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, an exception if there is one, and what `extra` had."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        said |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        return json.dumps(said, ensure_ascii=False, default=str)


class Logs:
    """The handler of the logger "horizon_ecs" while a server runs; none where the configuration is the default one.

    `set_up` may be called again, with another configuration; `close` leaves things as they were.
    """

    def __init__(self) -> None:
        self._logger = logging.getLogger("horizon_ecs")
        self._handler: logging.Handler | None = None
        self._before = self._logger.level, self._logger.propagate

    def set_up(self, config: LoggingConfig) -> None:
        """Write as this says from now on. Raises OSError where the file can't be written."""
        made = _handler(config) if config != LoggingConfig() else None
        self.close()
        if made is not None:
            self._logger.addHandler(made)
            self._logger.setLevel(_LEVELS[config.level])
            self._logger.propagate = False
            self._handler = made

    def close(self) -> None:
        """Write nothing any more."""
        if self._handler is not None:
            self._logger.removeHandler(self._handler)
            self._handler.close()
            self._handler = None
            self._logger.level, self._logger.propagate = self._before


def _handler(config: LoggingConfig) -> logging.Handler:
    made: logging.Handler
    made = WatchedFileHandler(config.file_path) if config.file_path else logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    made.setFormatter(JsonFormatter() if config.json_format else plain)
    return made
