"""`GET /metrics`, on a port of its own: what the process counts and measures, for Prometheus.

What only the store knows is read when somebody looks, for at most `LOOK_SECONDS`.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from piv_mcp import __version__, metrics
from piv_mcp.config import Settings
from piv_mcp.errors import ConfigError, PivError
from piv_mcp.metrics import Metric, Reading
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.policy import Policy
from piv_mcp.web.listener import Listener, router

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LOOK_SECONDS = 2.0
"""How long what the store knows is waited for."""

LOOKERS = 16
"""Connections at a time."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def metrics_port(settings: Settings) -> AsyncGenerator[None]:
    """Record, and serve the port, until the end of the block.

    Raises:
        ConfigError: the library that it needs is not installed.
    """
    recorder = PrometheusRecorder()
    app = router(Route("/metrics", Exposition(recorder).show, methods=["GET"]))
    listener = Listener(app, settings.metrics_host, settings.metrics_port, limit=LOOKERS)
    serving = asyncio.create_task(listener.run())
    try:
        with metrics.recorded_by(recorder):
            yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


class PrometheusRecorder:
    """Records in a registry of its own, in memory."""

    def __init__(self) -> None:
        try:
            # Late: who does not ask for metrics need not have it.
            import prometheus_client
        except ImportError:
            hint = "Install it with: pip install 'piv-mcp[server]'"
            raise ConfigError("PIV_METRICS_PORT needs prometheus_client, which is missing", hint=hint) from None
        self._new_registry = prometheus_client.CollectorRegistry
        self._new_gauge = prometheus_client.Gauge
        self._write = prometheus_client.generate_latest
        self.registry = registry = self._new_registry()
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.GCCollector(registry=registry)
        prometheus_client.Info("piv_mcp", "The version of piv-mcp.", registry=registry).info({"version": __version__})
        self._counters: dict[Metric, Counter | Gauge] = {}
        self._histograms: dict[Metric, Histogram] = {}
        for metric in metrics.ALL:
            if metric.kind == "histogram":
                self._histograms[metric] = prometheus_client.Histogram(
                    metric.name, metric.help, metric.labels, buckets=metric.bounds, registry=registry
                )
            else:
                kind = prometheus_client.Counter if metric.kind == "counter" else prometheus_client.Gauge
                self._counters[metric] = kind(metric.name, metric.help, metric.labels, registry=registry)

    def add(self, metric: Metric, labels: tuple[str, ...], amount: float) -> None:
        if metric.kind == "histogram":
            histogram = self._histograms[metric]
            (histogram.labels(*labels) if labels else histogram).observe(amount)
        else:
            counter = self._counters[metric]
            (counter.labels(*labels) if labels else counter).inc(amount)

    def text(self, readings: Iterable[Reading], *, up: bool) -> bytes:
        """All that was recorded, and what was read of the accounts."""
        registry = self._new_registry()
        self._new_gauge(metrics.STORE_UP.name, metrics.STORE_UP.help, registry=registry).set(float(up))
        gauges = {metric: self._gauge(metric, registry) for metric in metrics.LOOKED_UP}
        for reading in readings:
            for (metric, account), value in reading.items():
                gauges[metric].labels(account).set(value)
        return self._write(self.registry) + self._write(registry)

    def _gauge(self, metric: Metric, registry: "CollectorRegistry") -> "Gauge":
        return self._new_gauge(metric.name, metric.help, metric.labels, registry=registry)


class Exposition:
    """The endpoint. Looks that come together wait for each other."""

    def __init__(self, recorder: PrometheusRecorder) -> None:
        self._recorder = recorder
        self._looking = asyncio.Lock()

    async def show(self, request: Request) -> Response:
        async with self._looking:
            found = await asyncio.gather(*map(_read, metrics.lookups()))
            readings = [reading for reading in found if reading is not None]
            # In a thread: it is some milliseconds of work.
            text = await asyncio.to_thread(self._recorder.text, readings, up=len(readings) == len(found))
        return Response(text, media_type=CONTENT_TYPE)


async def _read(lookup: metrics.Lookup) -> Reading | None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await lookup()
    except (PivError, TimeoutError) as error:
        _log.warning("the metrics are without what the store knows", problem=str(error) or "no answer in time")
        return None


def account_lookup(journal: Journal, policy: Policy) -> metrics.Lookup:
    """Reads what is known of an account's money."""

    async def read() -> Reading:
        account = str(await journal.store.account())
        found = {(metrics.APPROVALS_WAITING, account): float(await journal.waiting())}
        if policy.mode == "budget":
            (left,) = await journal.left([policy.day])
            found[metrics.BUDGET_LEFT, account] = float(left)
        return found

    return read
