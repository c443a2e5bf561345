"""The rows in which tools and resources show stored events: cleaned, bounded, the texts of strangers fenced."""

from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from piv_mcp.api.phonebook import Phonebook
from piv_mcp.store.events import StoredEvent
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import Fence, one_line, visible

RECENT_CODES_SECONDS = 600.0
"""A code that arrived at most this long before the newest one is shown beside it."""

MAX_OTHERS = 4
"""Codes that are shown beside the newest one."""

CLOCK_SKEW_SECONDS = 120.0
"""How far piv.day's clock may be behind ours. A greater difference means that the message arrived late."""

MAX_TEXT_CHARS = 500
"""Characters of an SMS that are shown beside its code."""


class Code(BaseModel):
    """One message with a code. `age_seconds` since it reached the account; `source` is webhook or history."""

    model_config = ConfigDict(frozen=True)

    code: str
    event_id: int
    age_seconds: int
    received_at: datetime
    piv_num_id: str | None = None
    phone_number: str | None = None
    sender: str | None = None
    source: str
    confirmed: bool
    code_source: str | None = None
    text: str | None = None


class EventRow(BaseModel):
    model_config = ConfigDict(frozen=True)

    event_id: int
    type: str
    received_at: datetime
    source: str
    piv_num_id: str | None = None
    phone_number: str | None = None
    sender: str | None = None
    text: str | None = None
    code: str | None = None
    confirmed: bool | None = None
    data: dict[str, Any] | None = None
    problem: str | None = None


def code_rows(
    phonebook: Phonebook, found: list[StoredEvent], fence: Fence, now: float
) -> tuple[Code, list[Code] | None]:
    """The code that arrived last, and those of the minutes before it, without their texts. `found`: newest first."""
    newest, *older = found
    near = [event for event in older if newest.arrived_at - event.arrived_at <= RECENT_CODES_SECONDS]
    others = [_code(phonebook, event, None, now) for event in near[:MAX_OTHERS]]
    return _code(phonebook, newest, fence, now), others or None


def _reached_account_at(event: StoredEvent) -> float:
    """When the message reached the account: its own time if that is clearly before its arrival here."""
    late = event.sent_at is not None and event.sent_at < event.arrived_at - CLOCK_SKEW_SECONDS
    return event.sent_at if late and event.sent_at is not None else event.arrived_at


def _code(phonebook: Phonebook, event: StoredEvent, fence: Fence | None, now: float) -> Code:
    return Code(
        code=one_line(event.code or ""),
        event_id=event.seq,
        age_seconds=max(0, round(now - _reached_account_at(event))),
        received_at=utc(_reached_account_at(event)),
        piv_num_id=one_line(event.subject) if event.subject else None,
        phone_number=phonebook.phone_of(event.subject) if event.subject else None,
        sender=one_line(event.sender) if event.sender else None,
        source=event.source,
        confirmed=event.confirmed,
        code_source=event.code_source,
        text=fence.wrap(event.text, MAX_TEXT_CHARS) if fence and event.text is not None else None,
    )


def event_row(phonebook: Phonebook, event: StoredEvent, fence: Fence) -> EventRow:
    """The row of any event."""
    is_sms = event.text is not None
    number = event.subject if is_sms or "piv_num_id" in event.data else None
    return EventRow(
        event_id=event.seq,
        type=one_line(event.type, 100),
        received_at=utc(_reached_account_at(event)),
        source=event.source,
        piv_num_id=one_line(number) if number else None,
        phone_number=phonebook.phone_of(number) if number else None,
        sender=one_line(event.sender) if event.sender else None,
        text=fence.wrap(event.text) if event.text is not None else None,
        code=one_line(event.code) if event.code else None,
        confirmed=event.confirmed if is_sms else None,
        data=None if is_sms else cast("dict[str, Any]", _shown(event.data, fence)),
        problem=event.problem,
    )


def _shown(value: object, fence: Fence, depth: int = 0) -> object:
    """Clean and bound the data of a webhook, which is not signed; fence the texts that a stranger may have written."""
    if isinstance(value, dict):
        items = list(cast("dict[str, object]", value).items())[:40]
        shown = {visible(key, 60): _field(key, item, fence, depth) for key, item in items}
        return {key: item for key, item in shown.items() if item is not None}
    if isinstance(value, list):
        return [_shown(item, fence, depth + 1) for item in cast("list[object]", value)[:40]] if depth < 4 else "..."
    return visible(value, 500) if isinstance(value, str) else value


def _field(name: str, value: object, fence: Fence, depth: int) -> object:
    if name in ("captured_message", "message_body") and isinstance(value, str):
        return fence.wrap(value)
    return _shown(value, fence, depth + 1) if depth < 4 else "..."
