"""The rows in which tools and resources show stored events: cleaned, bounded, the texts of strangers fenced."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from piv_mcp.api.events import EVENTS
from piv_mcp.api.phonebook import Phonebook
from piv_mcp.store.events import StoredEvent
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import Fence, one_line

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
    """The row of any event. Texts that a stranger may have written are fenced: an SMS, sentences, and all that the
    reference does not document."""
    is_sms = event.text is not None
    number = event.subject if is_sms or "piv_num_id" in event.data else None
    return EventRow(
        event_id=event.seq,
        type=event.type if event.type in EVENTS else fence.wrap_line(event.type),
        received_at=utc(_reached_account_at(event)),
        source=event.source,
        piv_num_id=(number if _WORD.fullmatch(number) else fence.wrap_line(number)) if number else None,
        phone_number=phonebook.phone_of(number) if number else None,
        sender=one_line(event.sender) if event.sender else None,
        text=fence.wrap(event.text) if event.text is not None else None,
        code=one_line(event.code) if event.code else None,
        confirmed=event.confirmed if is_sms else None,
        data=None if is_sms else _Shown(event.type, fence).fields(event.data),
        problem=event.problem,
    )


MAX_VALUE_CHARS = 500
"""Characters of a text in an event's data that are shown."""

MAX_ITEMS = 40
"""Items of a list, and fields of an object, that are shown."""

MAX_LEVELS = 5
"""Levels of an event's data that are shown."""

MAX_NUMBER = 2**64

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}", re.ASCII)
"""An id, a domain, a status, a time, an amount: a value that cannot hold a sentence."""

_FREE_TEXT = frozenset({"captured_message", "message_body", "error", "error_message", "name"})
"""Fields of the reference that are sentences or names that somebody chose."""


class _Shown:
    """What is shown of the data of one webhook, which is not signed: bounded, with a mark of what was left out. Names
    that the reference has for this type of event, and their words, are shown as they are; all other text is fenced."""

    def __init__(self, event_type: str, fence: Fence) -> None:
        self._documented = _documented(event_type)
        self._fence = fence

    def fields(self, data: Mapping[str, object], level: int = 1) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, value in list(data.items())[:MAX_ITEMS]:
            if value is not None:
                documented = name in self._documented
                key = name if documented else self._fence.wrap_line(name)
                shown[key] = self._value(value, plain=documented and name not in _FREE_TEXT, level=level)
        return {**shown, "⟨left out⟩": len(data) - MAX_ITEMS} if len(data) > MAX_ITEMS else shown

    def _value(self, value: object, *, plain: bool, level: int) -> object:
        if isinstance(value, str):
            return value if plain and _WORD.fullmatch(value) else self._fence.wrap(value, MAX_VALUE_CHARS)
        if isinstance(value, dict | list) and level >= MAX_LEVELS:
            return "⟨deeper levels left out⟩"
        if isinstance(value, dict):
            return self.fields(cast("dict[str, object]", value), level + 1)
        if isinstance(value, list):
            items = cast("list[object]", value)
            shown = [self._value(item, plain=plain, level=level + 1) for item in items[:MAX_ITEMS]]
            return [*shown, f"⟨{len(items) - MAX_ITEMS} more⟩"] if len(items) > MAX_ITEMS else shown
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            return "⟨a number of more than 64 bits⟩"
        return value


@cache
def _documented(event_type: str) -> frozenset[str]:
    """The names of all fields that the reference has for this type of event."""
    model = EVENTS.get(event_type)
    if model is None:
        return frozenset()
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return frozenset(name for part in parts for name in part.get("properties", {}))
