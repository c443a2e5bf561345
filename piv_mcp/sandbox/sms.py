"""SMS: history, sending, receiving.

Where the reference is silent:
- A text of more than ten segments, or with control characters other than line ends, answers INVALID_MESSAGE_FORMAT.
- A number that cannot send answers NUMBER_NOT_ACTIVE.
- A failed SMS is not refunded.
"""

import re
from datetime import datetime
from decimal import Decimal

from piv_mcp.sandbox.errors import DocumentedError, invalid
from piv_mcp.sandbox.fields import E164
from piv_mcp.sandbox.numbers import find_number, require_active
from piv_mcp.sandbox.records import SandboxNumber, SandboxSms
from piv_mcp.sandbox.segments import segments
from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, data, should_fail
from piv_mcp.sandbox.wire import cents

MAX_SEGMENTS = 10
_FORBIDDEN = re.compile(r"[\x00-\x09\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_CODE = re.compile(r"(?<![0-9])[0-9]{4,8}(?![0-9])")


def list_messages(state: State, call: RouteCall) -> RouteAnswer:
    """Newest first, or oldest first with `state.oldest_sms_first`, as in the reference's example. An expired number
    keeps its history."""
    page = call.query.page(50, 200)
    number = find_number(state, call)
    by_time = sorted(number.messages, key=lambda message: (message.received_at, message.id))
    shown, pagination = page.of(by_time if state.oldest_sms_first else by_time[::-1])
    messages = [
        {
            "id": str(message.id),
            "from_number": message.from_number,
            "to_number": message.to_number,
            "message_body": message.message_body,
            "direction": message.direction,
            "status": message.status,
            "received_at": message.received_at,
        }
        for message in shown
    ]
    return data({"messages": messages, "pagination": pagination})


def send(state: State, call: RouteCall) -> RouteAnswer:
    recipient = call.body.text("to_number", E164)
    text = call.body.text("message_body")
    number = require_active(state, find_number(state, call))
    price = sms_price(state, number)
    if price is None:
        raise DocumentedError("NUMBER_NOT_ACTIVE", f"Numbers of {number.country_code} cannot send SMS")
    cost = cents(price * _count_segments(text))
    state.ledger.require(cost)
    message = add_outbound(state, number, recipient, text)
    state.ledger.charge("sms.send", str(message.id), cost)
    return data(
        {
            "message_id": str(message.id),
            "from_number": message.from_number,
            "to_number": message.to_number,
            "message_body": message.message_body,
            "status": message.status,
            "created_at": message.received_at,
        }
    )


def sms_price(state: State, number: SandboxNumber) -> Decimal | None:
    """The price of one segment in dollars; None if the number cannot send."""
    country = state.countries.get(number.country_code)
    return country.sms_send_price if country else None


def add_outbound(state: State, number: SandboxNumber, recipient: str, text: str) -> SandboxSms:
    """Add an outbound SMS to the history. Its status goes from queued to sent, then to delivered or failed."""
    message = SandboxSms(
        id=state.ids.count("message"),
        from_number=number.phone_number,
        to_number=recipient,
        message_body=text,
        direction="outbound",
        status="queued",
        received_at=state.clock.now(),
    )
    number.messages.append(message)
    last = "failed" if should_fail(text) else "delivered"
    _plan_status(state, number, message, "sent", last)
    return message


def receive(
    state: State, number: SandboxNumber, text: str, sender: str, code: str | None, received_at: datetime
) -> tuple[SandboxSms, dict[str, object]]:
    """Add an inbound SMS to the history. Returns the SMS and the data of its `sms.received` event."""
    message = SandboxSms(
        id=state.ids.count("message"),
        from_number=sender,
        to_number=number.phone_number,
        message_body=text,
        direction="inbound",
        status="received",
        received_at=received_at,
    )
    number.messages.append(message)
    event: dict[str, object] = {
        "piv_num_id": number.piv_num_id,
        "text": text,
        "code": code,
        "country": number.country_code,
        "received_at": received_at,
    }
    return message, event


def find_code(text: str) -> str | None:
    """The first run of four to eight digits."""
    found = _CODE.search(text)
    return found.group() if found else None


def _plan_status(state: State, number: SandboxNumber, message: SandboxSms, status: str, *later: str) -> None:
    def move_on() -> None:
        old, message.status = message.status, status
        failed = status == "failed"
        state.emit(
            "sms.status_updated",
            {
                "piv_num_id": number.piv_num_id,
                "message_id": str(message.id),
                "old_status": old,
                "new_status": status,
                "error_code": "30003" if failed else None,
                "error_message": "Unreachable destination handset" if failed else None,
            },
        )
        if later:
            _plan_status(state, number, message, *later)

    state.agenda.after(state.timing.sms, move_on)


def _count_segments(text: str) -> int:
    if not text:
        raise invalid("message_body", "must not be empty")
    if _FORBIDDEN.search(text):
        raise DocumentedError("INVALID_MESSAGE_FORMAT", "Message contains forbidden characters")
    count = segments(text)
    if count > MAX_SEGMENTS:
        raise DocumentedError("INVALID_MESSAGE_FORMAT", f"Message is too long: {count} SMS, at most {MAX_SEGMENTS}")
    return count
