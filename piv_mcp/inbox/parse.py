"""Converts the body of a webhook, or a message of the SMS history, to a `StoredEvent`."""

import json
from collections.abc import Mapping
from math import floor
from typing import Any

from piv_mcp.api.events import EVENTS, EventType, SmsReceived, WebhookEvent, parse_event, piv_num_ids
from piv_mcp.api.numbers import Sms
from piv_mcp.inbox.codes.given import choose_code
from piv_mcp.inbox.codes.links import sign_in_link
from piv_mcp.store import event
from piv_mcp.store.event import SMS_RECEIVED, StoredEvent
from piv_mcp.text.sameness import same_text_key
from piv_mcp.text.surrogates import replace_surrogates

_written = json.JSONEncoder(separators=(",", ":"), default=str).encode

_SUBJECTS = ("piv_num_id", "order_id", "domain_id", "job_id")
"""Fields that name what an event is about, in order of preference."""


def event_of(body: bytes | dict[str, Any], now: float, remote_now: float | None = None) -> StoredEvent:
    """The event in the body of a webhook, or in its JSON object, that arrived at `now`.

    `now` is on this machine's clock, `remote_now` on piv.day's, if it is known (both in seconds since the epoch). An
    event of an unknown type or shape is kept, with its `problem`. Text and code are read also of an unknown type, so
    that a code is found even if piv.day renames the event (reference: Webhooks).

    Raises:
        MalformedEventError: the body is not a JSON object.
    """
    parsed = parse_event(body)
    data = parsed.fields
    text = _text(data.get("text"))
    has_no_code = parsed.event_type in EVENTS and parsed.event_type != SMS_RECEIVED
    code, code_source = (None, None) if has_no_code else choose_code(text, data.get("code"))
    sent = parsed.timestamp
    if isinstance(parsed.data, SmsReceived) and parsed.data.received_at is not None:
        sent = parsed.data.received_at
    sent_at = sent.timestamp() if sent else None
    subject = _subject(data)
    is_message = text is not None or code is not None
    text_key = same_text_key(text or "") if is_message and subject else None
    return StoredEvent(
        type=replace_surrogates(parsed.event_type)[:100] or "unknown",
        source="webhook",
        subject=subject,
        sent_at=sent_at,
        arrived_at=now,
        reached_at=remote_now,
        digest=_digest(parsed, subject, text_key),
        text=text,
        text_key=text_key,
        code=code,
        code_source=code_source,
        link=None if has_no_code else _link(text, code),
        payload=_written(parsed.raw),
        problem=parsed.problem,
    )


def event_of_asked(
    type: EventType,
    data: Mapping[str, Any],
    *,
    since: float,
    now: float,
    remote_now: float | None,
    sent_at: float | None = None,
) -> StoredEvent:
    """An event that asking found at `now` on this machine's clock, and that happened after `since`; `sent_at` is when,
    on piv.day's clock, if that is known."""
    payload = {"event_type": type, "data": data}
    return StoredEvent(
        type=type,
        source="asked",
        subject=_subject(data),
        sent_at=sent_at,
        arrived_at=now,
        reached_at=remote_now,
        asked_since=since,
        payload=_written(payload),
    )


def _subject(data: Mapping[str, Any]) -> str | None:
    """What an event is about: its number, if it is one, or else an id."""
    numbers = piv_num_ids(data)
    subject = (
        numbers[0] if len(numbers) == 1 else next((_text(data.get(name)) for name in _SUBJECTS if data.get(name)), None)
    )
    return replace_surrogates(subject)[:200] if subject else None


def _digest(parsed: WebhookEvent, subject: str | None, text_key: str | None) -> str:
    """Of an SMS, number, text and time are what a retry cannot change; its code may be forged. A retry may leave out
    the fraction of the second."""
    if text_key is None or not isinstance(parsed.data, SmsReceived) or not (parsed.data.text or "").strip():
        return event.digest(parsed.event_type, parsed.fields or parsed.raw)
    received_at = parsed.data.received_at
    if received_at is None:
        return event.digest(SMS_RECEIVED, [subject, text_key])
    return event.timed_digest(subject, text_key, floor(received_at.timestamp()))


def event_of_sms(piv_num_id: str, sms: Sms, *, now: float, remote_now: float | None = None) -> StoredEvent:
    """The event of an inbound message that the history held at `now` on this machine's clock, and at `remote_now` on
    piv.day's, if that is known (both in seconds since the epoch)."""
    text = _text(sms.message_body)
    code, code_source = choose_code(text, None) if text is not None else (None, None)
    text_key = same_text_key(text) if text is not None else None
    return StoredEvent(
        type=SMS_RECEIVED,
        source="history",
        subject=piv_num_id,
        sent_at=sms.received_at.timestamp() if sms.received_at else None,
        arrived_at=now,
        reached_at=remote_now,
        message_id=replace_surrogates(sms.id) or _stand_in_id(sms, text_key),
        sender=_text(sms.from_number),
        text=text,
        text_key=text_key,
        code=code,
        code_source=code_source,
        link=_link(text, code),
        payload=_written(sms.model_dump(mode="json", exclude_none=True)),
    )


def _stand_in_id(sms: Sms, text_key: str | None) -> str:
    """What tells a message of the history without an id from others: its text and time."""
    return event.digest("message", [text_key, sms.received_at and sms.received_at.timestamp()])


def _link(text: str | None, code: str | None) -> str | None:
    """The link that signs in, of a message without a code."""
    return None if text is None or code is not None else sign_in_link(text)


def _text(value: object) -> str | None:
    return replace_surrogates(value) if isinstance(value, str) else None
