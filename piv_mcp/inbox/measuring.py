"""Counts what the inbox stores, and measures its waits, for the metrics."""

from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from piv_mcp import metrics
from piv_mcp.api.events import EVENT_TYPES
from piv_mcp.errors import PivError
from piv_mcp.store.event import StoredEvent
from piv_mcp.text.times import Clock

P = ParamSpec("P")


class Ended(Protocol):
    """The outcome of a wait."""

    @property
    def found(self) -> Sequence[StoredEvent]: ...


Outcome = TypeVar("Outcome", bound=Ended)
Wait = Callable[P, Coroutine[Any, Any, Outcome]]


def count_new(stored: Sequence[tuple[StoredEvent, bool]]) -> None:
    """Count the events that are new."""
    if metrics.is_on():
        for event in (event for event, is_new in stored if is_new):
            metrics.EVENTS.add(event.type if event.type in EVENT_TYPES else metrics.OTHER, event.source)


def note_answer(found: Sequence[StoredEvent], clock: Clock) -> None:
    """Note how long the webhook of the newest event took to the end of a wait that began before it came."""
    if metrics.is_on() and (told := [event.arrived_at for event in found if event.source == "webhook"]):
        metrics.WEBHOOK_TO_ANSWER.add(amount=max(0.0, clock.time() - max(told)))


def counted(what: str) -> Callable[[Wait[P, Outcome]], Wait[P, Outcome]]:
    """Count how the waits of a function end. One of no `seconds` that finds nothing is no wait, but a look."""

    def of(wait: Wait[P, Outcome]) -> Wait[P, Outcome]:
        @wraps(wait)
        async def run(*args: P.args, **kwargs: P.kwargs) -> Outcome:
            end: str | None = "error"
            try:
                with metrics.in_progress(metrics.WAITING, what):
                    waited = await wait(*args, **kwargs)
                end = "found" if waited.found else "timeout" if kwargs.get("seconds") else None
            except PivError:
                end = "refused"
                raise
            except CancelledError:
                end = "cancelled"
                raise
            finally:
                if end is not None:
                    metrics.WAITS.add(what, end)
            return waited

        return run

    return of
