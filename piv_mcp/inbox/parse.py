"""From what piv.day sends to what the store keeps: a webhook's body, or a message of the SMS history."""

import json
from typing import Literal

from piv_mcp.api.events import SmsReceived, parse_event, piv_num_ids
from piv_mcp.api.numbers import Sms
from piv_mcp.inbox.codes.extract import extract_code
from piv_mcp.store import events
from piv_mcp.store.events import SMS_RECEIVED, StoredEvent
from piv_mcp.text.surrogates import replace_surrogates

MAX_CODE = 32
"""Characters. What the API calls a code and is longer is none."""

_SUBJECTS = ("piv_num_id", "order_id", "domain_id", "job_id")


def event_of(body: bytes, now: float) -> StoredEvent:
    """The event in a webhook's body that arrived `now` (seconds); an unknown type or shape is kept and flagged.

    An SMS is recognised by its fields rather than its type, so that a code survives a renamed event.

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
    """The event of an inbound message found in the history. It was not there yet at `not_before` (seconds), and is
    `now`."""
    sent_at = sms.received_at.timestamp() if sms.received_at else None
    text = _text(sms.message_body)
    code, code_source = _code(None, text)
    return StoredEvent(
        type=SMS_RECEIVED,
        source="history",
        subject=piv_num_id,
        sent_at=sent_at,
        # Clocks disagree: a time of piv.day's is believed between our last look and now.
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
    """The API's own code where there is one; else what a person would type after reading the text."""
    if isinstance(given, str | int) and not isinstance(given, bool):
        code = replace_surrogates(str(given)).strip()
        if 0 < len(code) <= MAX_CODE:
            return code, "api"
    found = extract_code(text) if text else None
    return found, ("text" if found else None)


def _text(value: object) -> str | None:
    return replace_surrogates(value) if isinstance(value, str) else None
