"""Google QR verification: the number sends the text of Google's QR code to Google.

Where the reference is silent:
- A verification costs 1.00, with the SMS included.
- An expired number answers NUMBER_NOT_ACTIVE, the only fitting code in the endpoint's table.

Tests choose a failure by the `gv_url`: `proxy-dead`, `queue-full` or `server-unavailable` in the URL answers that error
after a charge and a refund; `fail` lets the task fail later.
"""

from piv_mcp.sandbox.errors import DocumentedError
from piv_mcp.sandbox.fields import URL
from piv_mcp.sandbox.numbers import find_number
from piv_mcp.sandbox.prices import VERIFY_PRICE
from piv_mcp.sandbox.records import SandboxNumber
from piv_mcp.sandbox.sms import add_outbound, sms_price
from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, should_fail

_REFUSALS = (
    ("proxy-dead", "PROXY_DEAD", "Proxy is unavailable, the balance has been refunded"),
    ("queue-full", "QUEUE_FULL", "Queue is full, try again later; the balance has been refunded"),
    (
        "server-unavailable",
        "SERVER_UNAVAILABLE",
        "Automation server is unavailable, the balance has been refunded",
    ),
)


def verify(state: State, call: RouteCall) -> RouteAnswer:
    gv_url = call.body.text("gv_url", URL)
    number = find_number(state, call)
    if number.status(state.clock.now()) != "active":
        raise DocumentedError("NUMBER_NOT_ACTIVE", "Number is not active")
    if sms_price(state, number) is None:
        raise DocumentedError("SMS_DISABLED", "SMS sending is disabled for this number")
    state.ledger.charge("number.verify", number.piv_num_id, VERIFY_PRICE)
    for trigger, code, message in _REFUSALS:
        if trigger in gv_url:
            state.ledger.refund("number.verify", number.piv_num_id, VERIFY_PRICE)
            raise DocumentedError(code, message)
    task_id = state.ids.count("verification")
    finish = _fail if should_fail(gv_url) else _complete
    state.agenda.after(state.timing.verify, lambda: finish(state, number, task_id))
    return RouteAnswer({"message": "Verification initiated"}, 202)


def _complete(state: State, number: SandboxNumber, task_id: int) -> None:
    text = f"Your Google verification code is {100_000 + task_id * 23_456 % 900_000}"
    message = add_outbound(state, number, "+14155551234", text)
    state.emit(
        "verify.completed",
        {
            "task_id": task_id,
            "piv_num_id": number.piv_num_id,
            "status": "sms_sent",
            "captured_phone": message.to_number,
            "captured_message": text,
            "sms_message_id": message.id,
            "sms_status": message.status,
        },
    )


def _fail(state: State, number: SandboxNumber, task_id: int) -> None:
    state.ledger.refund("number.verify", number.piv_num_id, VERIFY_PRICE)
    state.emit(
        "verify.failed",
        {
            "task_id": task_id,
            "piv_num_id": number.piv_num_id,
            "status": "failed",
            "error_code": "VERIFY_TIMEOUT",
            "error_message": "Verification timed out",
        },
    )
