"""Google QR verification: the number sends the text of Google's QR code to Google.

Where the reference is silent: it costs 1.00, the SMS included; an expired number answers NUMBER_NOT_ACTIVE,
the only code of its table that fits. What goes wrong is chosen by the `gv_url`: `proxy-dead`, `queue-full`
and `server-unavailable` in it answer that error (charged and refunded), `fail` lets the task fail later.
"""

from piv_mcp.sandbox.errors import ApiError
from piv_mcp.sandbox.fields import URL
from piv_mcp.sandbox.numbers import find_number
from piv_mcp.sandbox.prices import VERIFY_PRICE
from piv_mcp.sandbox.records import Number
from piv_mcp.sandbox.sms import add_outbound, sms_price
from piv_mcp.sandbox.state import Answer, Call, State, doomed

_REFUSALS = (
    ("proxy-dead", "PROXY_DEAD", "Proxy is unavailable, the balance has been refunded"),
    ("queue-full", "QUEUE_FULL", "Queue is full, try again later; the balance has been refunded"),
    (
        "server-unavailable",
        "SERVER_UNAVAILABLE",
        "Automation server is unavailable, the balance has been refunded",
    ),
)


def verify(state: State, call: Call) -> Answer:
    gv_url = call.body.text("gv_url", URL)
    number = find_number(state, call)
    if number.status(state.clock.now()) != "active":
        raise ApiError("NUMBER_NOT_ACTIVE", "Number is not active")
    if sms_price(state, number) is None:
        raise ApiError("SMS_DISABLED", "SMS sending is disabled for this number")
    state.ledger.charge("number.verify", number.piv_num_id, VERIFY_PRICE)
    for trigger, code, message in _REFUSALS:
        if trigger in gv_url:
            state.ledger.refund("number.verify", number.piv_num_id, VERIFY_PRICE)
            raise ApiError(code, message)
    task_id = state.ids.count("verification")
    finish = _fail if doomed(gv_url) else _complete
    state.agenda.after(state.timing.verify, lambda: finish(state, number, task_id))
    return Answer({"message": "Verification initiated"}, 202)


def _complete(state: State, number: Number, task_id: int) -> None:
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


def _fail(state: State, number: Number, task_id: int) -> None:
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
