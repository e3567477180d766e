"""The logger for aiohttp's server, which reduces unparsable requests to a few debug lines.

aiohttp logs an error with a traceback for each of them, which can contain all the data that the
client sent. Other errors are logged unchanged.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from aiohttp.http_exceptions import HttpProcessingError

from keepalived.serving.throttle import Throttle

_LONGEST_REASON = 1024


def server_logger() -> logging.Logger:
    """Return the logger to pass to aiohttp's server as `logger`."""
    # aiohttp's types require a Logger, but it only calls methods that an adapter has as well.
    return cast(logging.Logger, _ServerLog(logging.getLogger("aiohttp.server")))


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger)
        self._bad_requests = Throttle()

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        error = options.get("exc_info")
        if not isinstance(error, HttpProcessingError):
            super().log(level, msg, *args, **options)
        elif self.isEnabledFor(logging.DEBUG):
            omitted = self._bad_requests.admit()
            if omitted is not None:
                import structlog  # structlog imports rich, which the demonstration starts without

                log = structlog.stdlib.get_logger("clkeepalived")
                reason = f"{type(error).__name__}: {error.message[:_LONGEST_REASON]}"
                log.debug("bad_request", reason=reason, omitted=omitted)
