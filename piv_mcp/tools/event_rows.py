"""The rows in which tools and resources show stored events: cleaned, bounded, the texts of strangers fenced."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from piv_mcp.api.events import EVENTS
from piv_mcp.api.phonebook import Phonebook
from piv_mcp.inbox.codes.links import MAX_LINK_CHARS, host_of
from piv_mcp.inbox.codes.parts import parts_of
from piv_mcp.inbox.confirming import Confirmation, confirmation
from piv_mcp.services import Services
from piv_mcp.store import polls
from piv_mcp.store.event import StoredEvent
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import Fence, one_line

RECENT_CODES_SECONDS = 600.0
"""A code that arrived at most this long before the newest one is shown beside it."""

MAX_OTHERS = 4
"""Codes that are shown beside the newest one."""

MAX_TEXT_CHARS = 500
"""Characters of an SMS that are shown beside its code."""

CONFIRMED: Mapping[Confirmation, str] = {
    "found": "in the SMS history",
    "absent": "not in the SMS history, may be forged",
    "not_looked": "not looked for yet",
}

NOTES: Mapping[tuple[str, str, str], str] = {
    ("verify.completed", "status", "sms_sent"): (
        "Completed, as this event's type says; what sms_sent means is not documented. Either the number sent"
        " captured_message to captured_phone, as the status reads, or Google sent it, as the reference's text says."
        " sms_status may change later: list_sms shows it now."
    ),
    (
        "sms.status_updated",
        "new_status",
        "queued",
    ): "Queued is not delivered yet: sent, delivered or failed may follow.",
    ("sms.status_updated", "new_status", "sent"): "Sent is not delivered yet: delivered or failed may follow.",
}
"""What an event of a type with this word in this field of its data means, as far as it is known."""

NOTES_OF_ASKED: Mapping[str, str] = {
    "domain.renewed": "piv.day has no such event: this server found it by asking.",
    "verify.completed": "No webhook told it. The SMS history has this message since the verification began: one that"
    " the number sent (to captured_phone), or one from Google. Whether Google accepted it, Google's page tells.",
}
"""What an event of a type lacks, or how it is known, if no webhook has told it."""

NO_REFUNDS_SHOWN = "What fails is refunded; piv.day shows no amount when asked: get_account has the balance."


class Code(BaseModel):
    """One message with a code, or with a `link` in its place that signs in or confirms and leads to `host`.
    `age_seconds` since it was sent, absent if that is not known; `source` is webhook or history; `code_source` is api
    (piv.day's own reading) or text (ours)."""

    model_config = ConfigDict(frozen=True)

    code: str | None = None
    link: str | None = None
    host: str | None = None
    event_id: int
    age_seconds: int | None = None
    received_at: datetime
    piv_num_id: str | None = None
    phone_number: str | None = None
    sender: str | None = None
    source: str
    confirmed: str
    code_source: str | None = None
    text: str | None = None


class SmsWithoutCode(BaseModel):
    """One message in which no code was recognised. `part` where it is one part of a longer one."""

    model_config = ConfigDict(frozen=True)

    event_id: int
    age_seconds: int | None = None
    received_at: datetime
    piv_num_id: str | None = None
    phone_number: str | None = None
    sender: str | None = None
    confirmed: str
    part: str | None = None
    text: str | None = None


class EventRow(BaseModel):
    """`source`: webhook, history, asked (piv.day was asked), or both. `shown_when_asked`: fields that piv.day showed in
    another way than the webhook told them; believe these."""

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
    confirmed: str | None = None
    data: dict[str, Any] | None = None
    shown_when_asked: dict[str, Any] | None = None
    note: str | None = None
    problem: str | None = None


class RowMaker:
    """The rows of one answer. Make it with `rows_of`."""

    def __init__(
        self, phonebook: Phonebook, now: float, remote_now: float | None = None, looks: Mapping[str, polls.Look] = {}
    ) -> None:
        self.fence = Fence()
        self._phonebook = phonebook
        self._now = now
        self._remote_now = remote_now
        self._looks = looks

    def codes(self, found: Sequence[StoredEvent]) -> tuple[Code, list[Code] | None]:
        """The newest code, and the others without their texts. `found`: the newest first."""
        newest, *others = found
        return self._code(newest, with_text=True), [self._code(event, with_text=False) for event in others] or None

    def messages(self, found: Sequence[StoredEvent]) -> list[SmsWithoutCode] | None:
        """Messages in which no code was recognised."""
        return [self._message(event) for event in found] or None

    def event(self, event: StoredEvent) -> EventRow:
        """The row of any event. Texts that a stranger may have written are fenced: an SMS, sentences, and all that the
        reference does not document."""
        is_sms = event.text is not None
        number = event.subject if is_sms or "piv_num_id" in event.data else None
        return EventRow(
            event_id=event.seq,
            type=event.type if event.type in EVENTS else self.fence.wrap_line(event.type),
            received_at=received_at(event),
            source=event.source if not event.has_both_sources else "webhook, asked",
            piv_num_id=(number if _WORD.fullmatch(number) else self.fence.wrap_line(number)) if number else None,
            phone_number=self._phonebook.phone_of(number) if number else None,
            sender=one_line(event.sender) if event.sender else None,
            text=self.fence.wrap(event.text) if event.text is not None else None,
            code=one_line(event.code) if event.code else None,
            confirmed=self.confirmed(event) if is_sms else None,
            data=None if is_sms else _Shown(event.type, self.fence).fields(event.data),
            shown_when_asked=_Shown(event.type, self.fence).fields(event.differences) or None,
            note=_note(event),
            problem=event.problem,
        )

    def age(self, event: StoredEvent) -> int | None:
        """Seconds since the message was sent; None if that is not known."""
        age = event.age(self._now, self._remote_now)
        return None if age is None else round(age)

    def confirmed(self, event: StoredEvent) -> str:
        """Whether the account's own SMS history has the message, in words."""
        return CONFIRMED[confirmation(event, self._looks.get(event.subject or "", polls.Look()))]

    def _code(self, event: StoredEvent, *, with_text: bool) -> Code:
        return Code(
            code=one_line(event.code) if event.code else None,
            link=one_line(event.link, MAX_LINK_CHARS) if event.link else None,
            host=host_of(event.link) if event.link else None,
            source=event.source,
            code_source=event.code_source,
            text=self._text(event) if with_text else None,
            **self._common(event),
        )

    def _message(self, event: StoredEvent) -> SmsWithoutCode:
        part = parts_of(event.text or "")
        return SmsWithoutCode(
            part=f"{part[0]} of {part[1]}" if part else None,
            text=self._text(event),
            **self._common(event),
        )

    def _common(self, event: StoredEvent) -> dict[str, Any]:
        return {
            "event_id": event.seq,
            "age_seconds": self.age(event),
            "received_at": received_at(event),
            "piv_num_id": one_line(event.subject) if event.subject else None,
            "phone_number": self._phonebook.phone_of(event.subject) if event.subject else None,
            "sender": one_line(event.sender) if event.sender else None,
            "confirmed": self.confirmed(event),
        }

    def _text(self, event: StoredEvent) -> str | None:
        return None if event.text is None else self.fence.wrap(event.text, MAX_TEXT_CHARS)


async def rows_of(app: Services, found: Sequence[StoredEvent]) -> RowMaker:
    """What makes the rows of these events."""
    unconfirmed = {event.subject for event in found if event.text is not None and not event.confirmed and event.subject}
    looked = await app.store.read(polls.looks, sorted(unconfirmed)) if unconfirmed else {}
    return RowMaker(app.phonebook, app.clock.time(), app.inbox.remote_time(), looked)


def _note(event: StoredEvent) -> str | None:
    notes = [
        note for (type_, name, word), note in NOTES.items() if type_ == event.type and event.data.get(name) == word
    ]
    if event.asked_since is not None and event.digest is None:
        notes += [NOTES_OF_ASKED[event.type]] if event.type in NOTES_OF_ASKED else []
        notes += [NO_REFUNDS_SHOWN] if event.data.get("total_failed") else []
    return " ".join(notes) or None


def received_at(event: StoredEvent) -> datetime:
    """The message's own time, or else when it reached the account, on piv.day's clock."""
    return utc(event.moment if event.sent_at is None else event.sent_at)


MAX_VALUE_CHARS = 500
"""Characters of a text in an event's data that are shown."""

MAX_ITEMS = 40
"""Items of a list, and fields of an object, that are shown."""

MAX_LEVELS = 5
"""Levels of an event's data that are shown."""

MAX_NUMBER = 2**64

_WORD = re.compile(r"\+?[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}", re.ASCII)
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
