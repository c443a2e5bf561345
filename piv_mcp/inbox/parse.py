"""Converts the body of a webhook, or a message of the SMS history, to a `StoredEvent`."""

import json
from typing import Any, Literal

from piv_mcp.api.events import SmsReceived, parse_event, piv_num_ids
from piv_mcp.api.numbers import Sms
from piv_mcp.inbox.codes.extract import extract_code
from piv_mcp.store import events
from piv_mcp.store.events import SMS_RECEIVED, StoredEvent
from piv_mcp.text.surrogates import replace_surrogates

MAX_CODE = 32
"""Characters. A longer value in the API's `code` field is not taken for a code."""

_SUBJECTS = ("piv_num_id", "order_id", "domain_id", "job_id")
"""Fields that name what an event is about, in order of preference."""


def event_of(body: bytes | dict[str, Any], now: float) -> StoredEvent:
    """The event in the body of a webhook, or in its JSON object, that arrived at `now` (seconds since the epoch).

    An event of an unknown type or shape is kept, with its `problem`. Text and code are read whatever the type is, so
    that a code is found even if piv.day renames the event (reference: Webhooks).

    Raises:
        MalformedEventError: the body is not a JSON object.
    """
    parsed = parse_event(body)
    data = parsed.fields
    text = _text(data.get("text"))
    code, code_source = _code(data.get("code"), text)
    sent = parsed.timestamp
    if isinstance(parsed.data, SmsReceived) and parsed.data.received_at is not None:
        sent = parsed.data.received_at
    numbers = piv_num_ids(data)
    subject = (
        numbers[0] if len(numbers) == 1 else next((_text(data.get(name)) for name in _SUBJECTS if data.get(name)), None)
    )
    return StoredEvent(
        type=replace_surrogates(parsed.event_type)[:100] or "unknown",
        source="webhook",
        subject=replace_surrogates(subject)[:200] if subject else None,
        sent_at=sent.timestamp() if sent else None,
        arrived_at=now,
        digest=events.digest(parsed.event_type, data or parsed.raw),
        text=text,
        text_key=events.text_key(text) if text is not None and subject else None,
        code=code,
        code_source=code_source,
        payload=json.dumps(parsed.raw, ensure_ascii=True, separators=(",", ":"), default=str),
        problem=parsed.problem,
    )


def event_of_sms(piv_num_id: str, sms: Sms, *, not_before: float, now: float) -> StoredEvent:
    """The event of an inbound message in the history.

    The message was in the history at `now`, and not yet at `not_before` (both in seconds since the epoch).
    """
    sent_at = sms.received_at.timestamp() if sms.received_at else None
    text = _text(sms.message_body)
    code, code_source = _code(None, text)
    return StoredEvent(
        type=SMS_RECEIVED,
        source="history",
        subject=piv_num_id,
        sent_at=sent_at,
        # piv.day's clock may differ from ours: its time is limited to the span since we last read the history.
        arrived_at=min(now, max(not_before, now if sent_at is None else sent_at)),
        message_id=replace_surrogates(sms.id),
        sender=_text(sms.from_number),
        text=text,
        text_key=events.text_key(text) if text is not None else None,
        code=code,
        code_source=code_source,
        payload=json.dumps(sms.model_dump(mode="json", exclude_none=True), ensure_ascii=True, separators=(",", ":")),
    )


def _code(given: object, text: str | None) -> tuple[str | None, Literal["api", "text"] | None]:
    """(the code, where it comes from): the API's `code` field if it holds one, else the code found in the text."""
    if isinstance(given, str | int) and not isinstance(given, bool):
        code = replace_surrogates(str(given)).strip()
        if 0 < len(code) <= MAX_CODE:
            return code, "api"
    found = extract_code(text) if text else None
    return found, ("text" if found else None)


def _text(value: object) -> str | None:
    return replace_surrogates(value) if isinstance(value, str) else None
