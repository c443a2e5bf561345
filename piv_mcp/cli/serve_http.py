"""`piv-mcp serve --transport http`: until a signal asks for the end."""

import asyncio
import os
import signal

import structlog

from piv_mcp.cli.metrics import metrics_served
from piv_mcp.config import Settings
from piv_mcp.log import Redactor
from piv_mcp.server.http import DRAIN_SECONDS, STOP_HOSTED_SECONDS, serve_http

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings, redactor: Redactor) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once.

    Raises:
        PivError: the settings do not go together, the port is taken, or the data directory cannot be used.
    """
    asyncio.run(_serve(settings, redactor))


async def _serve(settings: Settings, redactor: Redactor) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def begin_to_stop() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()
        # What hangs does not keep the process: its manager would kill it, and later.
        loop.call_later(DRAIN_SECONDS + STOP_HOSTED_SECONDS, os._exit, 0)

    def begin_from_handler(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(begin_to_stop)

    for number in SIGNALS:
        try:
            loop.add_signal_handler(number, begin_to_stop)
        except NotImplementedError:  # Windows
            signal.signal(number, begin_from_handler)

    def ready(port: int) -> None:
        structlog.get_logger(__name__).info("serving over HTTP", host=settings.http_host, port=port)

    async with metrics_served(settings):
        await serve_http(settings, redactor, stop, ready=ready)
