"""Metrics, for whichever way the server is started."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from piv_mcp.config import Settings


@asynccontextmanager
async def metrics_served(settings: Settings) -> AsyncGenerator[None]:
    """Serve metrics until the end of the block, if the settings ask for them.

    Raises:
        ConfigError: the library that they need is not installed.
    """
    if not settings.metrics_port:
        yield
        return
    from piv_mcp.web.metrics_port import metrics_port  # late: most servers have no such port

    async with metrics_port(settings):
        yield
