"""What a process counts and measures, and who records it: nobody, unless the settings ask for metrics.

The code that counts knows only this module. `web/metrics_port.py` records with `prometheus_client` and shows it.

A label has few values, all of them ours: no number, text, code, token or secret. Whoever counts replaces a word that is
not ours, such as the type of an unknown event, by `OTHER`.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

OTHER = "other"
"""Stands for every word that is not ours."""

FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds, in seconds, for what takes no longer than a commit."""

SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The same for calls, which may ask piv.day."""


class Recorder(Protocol):
    """Records what is counted and measured."""

    def add(self, metric: "Metric", labels: tuple[str, ...], amount: float) -> None:
        """Add an amount to a counter or a gauge, or a measured value to a histogram."""
        ...


_recorder: Recorder | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is counted or measured. `bounds` are those of a histogram; a gauge is given anew for each look."""

    name: str
    help: str
    kind: Literal["counter", "gauge", "histogram"] = "counter"
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    def add(self, *labels: str, amount: float = 1.0) -> None:
        if _recorder is not None:
            _recorder.add(self, labels, amount)


REQUESTS = Metric(
    "piv_mcp_requests",
    "MCP requests by method, tool and result: ok, input_required, the code of the error, or cancelled.",
    labels=("method", "tool", "result"),
)
REQUEST_SECONDS = Metric(
    "piv_mcp_request_seconds",
    "How long MCP requests took, without those that wait for an event.",
    "histogram",
    ("method",),
    SLOW,
)
IN_PROGRESS = Metric("piv_mcp_requests_in_progress", "MCP requests that are being answered.", "gauge")
WAITS = Metric(
    "piv_mcp_waits",
    "Waits by what for (code, event) and how they ended: found, timeout, refused, error or cancelled.",
    labels=("what", "end"),
)
WAITING = Metric("piv_mcp_waits_in_progress", "Calls that wait for a code or an event.", "gauge", ("what",))
WEBHOOK_TO_ANSWER = Metric(
    "piv_mcp_webhook_to_answer_seconds",
    "From the arrival of a webhook to the end of a wait for it. Both clocks are those of replicas.",
    "histogram",
    bounds=FAST,
)
WEBHOOKS = Metric("piv_mcp_webhooks", "Webhooks by the HTTP status of the answer.", labels=("status",))
EVENTS = Metric("piv_mcp_events", "New events by type, and by what told of them first.", labels=("type", "source"))
API_REQUESTS = Metric(
    "piv_mcp_api_requests",
    "Requests to piv.day by priority and by HTTP status: none without an answer.",
    labels=("priority", "status"),
)
STORE_SECONDS = Metric(
    "piv_mcp_store_seconds",
    "From handing a job to the store to its outcome; a write is then on disk.",
    "histogram",
    ("operation",),
    FAST,
)
STORE_ERRORS = Metric("piv_mcp_store_errors", "Jobs that the store could not do.", labels=("operation",))
ALL: tuple[Metric, ...] = (
    REQUESTS,
    REQUEST_SECONDS,
    IN_PROGRESS,
    WAITS,
    WAITING,
    WEBHOOK_TO_ANSWER,
    WEBHOOKS,
    EVENTS,
    API_REQUESTS,
    STORE_SECONDS,
    STORE_ERRORS,
)

STORE_UP = Metric("piv_mcp_store_up", "Whether the store answered in time to all that was asked for this.", "gauge")
BUDGET_LEFT = Metric(
    "piv_mcp_budget_left_dollars",
    "What is left of the daily budget of the last 24 hours (PIV_DAILY_BUDGET).",
    "gauge",
    ("account",),
)
APPROVALS_WAITING = Metric(
    "piv_mcp_approvals_waiting", "Actions that wait for a person's decision.", "gauge", ("account",)
)
LOOKED_UP: tuple[Metric, ...] = (BUDGET_LEFT, APPROVALS_WAITING)
"""Read from the store when somebody looks."""

Reading = Mapping[tuple[Metric, str], float]
"""What was read of an account, which is the second part of each key: its number in the store."""

Lookup = Callable[[], Awaitable[Reading]]

_lookups: dict[object, Lookup] = {}


@contextmanager
def recorded_by(recorder: Recorder) -> Generator[None]:
    """Record until the end of the block."""
    global _recorder
    _recorder = recorder
    try:
        yield
    finally:
        _recorder = None


def is_on() -> bool:
    return _recorder is not None


def look_up(lookup: Lookup) -> Callable[[], None]:
    """Have `lookup` asked at each look, until the returned function is called."""
    key = object()
    _lookups[key] = lookup

    def forget() -> None:
        _lookups.pop(key, None)

    return forget


def lookups() -> Sequence[Lookup]:
    return list(_lookups.values())


@contextmanager
def in_progress(metric: Metric, *labels: str) -> Generator[None]:
    """Counts the blocks that are under way."""
    metric.add(*labels)
    try:
        yield
    finally:
        metric.add(*labels, amount=-1)
