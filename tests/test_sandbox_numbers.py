"""The sandbox's numbers: lists, SMS, verification and restore."""

from datetime import timedelta
from decimal import Decimal

from sandbox_api import SEND, VERIFY, Api, Json, Receiver, connect, ids

from piv_mcp.sandbox import Sandbox, Timing

pytest_plugins = ["sandbox_fixtures"]


async def test_numbers_are_filtered_and_found(piv_day: Sandbox, api: Api) -> None:
    piv_day.add_numbers(500, country="CA")
    listed = await api.data("GET", "/numbers?country=CA&status=active&limit=200&offset=400")
    assert (len(listed["numbers"]), listed["pagination"]["total"]) == (101, 501)
    assert len({number.phone_number for number in piv_day.state.numbers.values()}) == 506
    for search in ("office", "%2B46764", "OFFICE LINE"):
        assert (await api.data("GET", f"/numbers?search={search}"))["numbers"][-1]["country_code"] == "SE"


async def test_history_is_newest_first_and_pages(piv_day: Sandbox, api: Api) -> None:
    number = ids(piv_day)["number"]
    for index in range(3):
        await piv_day.receive_sms(number, f"code {1000 + index}")
    first = await api.data("GET", f"/numbers/{number}/sms?limit=2")
    assert [message["message_body"] for message in first["messages"]] == ["code 1002", "code 1001"]
    second = await api.data("GET", f"/numbers/{number}/sms?limit=2&offset=2")
    assert second["messages"][0]["message_body"] == "code 1000"
    assert second["pagination"] == {"total": 6, "limit": 2, "offset": 2}


async def test_sent_sms_moves_from_queued_to_delivered(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    number = ids(piv_day)["number"]
    sent = await api.data("POST", f"/numbers/{number}/sms/send", SEND)
    await piv_day.settled()
    assert sent["status"] == "queued"
    assert [(event["data"]["old_status"], event["data"]["new_status"]) for event in receiver.events] == [
        ("queued", "sent"),
        ("sent", "delivered"),
    ]
    keys = {"piv_num_id", "message_id", "old_status", "new_status", "error_code", "error_message"}
    assert set(receiver.events[0]["data"]) == keys
    newest = (await api.data("GET", f"/numbers/{number}/sms"))["messages"][0]
    assert (newest["id"], newest["status"]) == (sent["message_id"], "delivered")


async def test_failed_sms_carries_the_operators_error(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    await api.ok("POST", f"/numbers/{ids(piv_day)['number']}/sms/send", {**SEND, "message_body": "please fail"})
    await piv_day.settled()
    data = receiver.events[-1]["data"]
    assert (data["new_status"], bool(data["error_code"]), bool(data["error_message"])) == (
        "failed",
        True,
        True,
    )


async def test_verification_completes_or_fails_by_webhook(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    path = f"/numbers/{ids(piv_day)['number']}/verify"
    await api.ok("POST", path, VERIFY)
    await api.ok("POST", path, {"gv_url": "https://gv.google.com/fail"})
    await piv_day.settled()
    events = {event["event_type"]: event["data"] for event in receiver.events}
    keys = {
        "task_id",
        "piv_num_id",
        "status",
        "captured_phone",
        "captured_message",
        "sms_message_id",
        "sms_status",
    }
    assert set(events["verify.completed"]) == keys
    assert set(events["verify.failed"]) == {"task_id", "piv_num_id", "status", "error_code", "error_message"}
    amounts = [str(charge.amount) for charge in piv_day.charges]
    assert amounts == ["1.00", "1.00", "-1.00"]


async def test_number_expires_and_is_restored_with_its_history(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    number = ids(piv_day)["number"]
    history = await api.data("GET", f"/numbers/{number}/sms")
    piv_day.advance(timedelta(days=20))
    assert (await api.data("GET", f"/numbers/{number}"))["status"] == "expired"
    await api.ok("POST", "/numbers/restore", {"piv_num_ids": [number]})
    restored = await api.data("GET", f"/numbers/{number}")
    assert restored["status"] == "active"
    assert (await api.data("GET", f"/numbers/{number}/sms")) == history
    await piv_day.settled()
    assert receiver.events[-1]["data"] == {
        "restored": [{"piv_num_id": number, "phone_number": restored["phone_number"], "country": "SE"}],
        "failed": [],
        "total_restored": 1,
        "total_failed": 0,
        "total_refunded": 0.0,
    }


async def test_number_cannot_be_restored_after_seven_days(piv_day: Sandbox, api: Api) -> None:
    body: Json = {"piv_num_ids": [ids(piv_day)["expired_number"]]}
    piv_day.advance(timedelta(days=4, minutes=1))
    assert (await api.error("POST", "/numbers/restore", body))[0] == "NO_RESTORABLE_NUMBERS"


async def test_number_is_pending_restore_meanwhile() -> None:
    slow = Sandbox(timing=Timing(restore=60))
    body: Json = {"piv_num_ids": [ids(slow)["expired_number"]]}
    async with connect(slow) as client:
        pending = Api(client)
        await pending.ok("POST", "/numbers/restore", body)
        listed = await pending.data("GET", "/numbers?status=pending_restore")
        assert [number["piv_num_id"] for number in listed["numbers"]] == body["piv_num_ids"]
        assert (await pending.error("POST", "/numbers/restore", body))[0] == "NO_RESTORABLE_NUMBERS"
        send = f"/numbers/{body['piv_num_ids'][0]}/sms/send"
        assert (await pending.error("POST", send, SEND))[0] == "NUMBER_NOT_ACTIVE"
        slow.advance(timedelta(seconds=61))
        assert (await pending.data("GET", "/numbers?status=pending_restore"))["numbers"] == []
    await slow.aclose()


async def test_failed_restore_is_refunded(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    number = ids(piv_day)["expired_number"]
    await api.ok("PATCH", f"/numbers/{number}", {"custom_name": "will fail"})
    await api.ok("POST", "/numbers/restore", {"piv_num_ids": [number]})
    assert [charge.amount for charge in piv_day.charges] == [Decimal("6.00"), Decimal("-6.00")]
    await piv_day.settled()
    data = receiver.events[-1]["data"]
    assert (data["total_failed"], data["total_refunded"], data["failed"][0]["refunded"]) == (1, 6.0, 6.0)
    assert (await api.data("GET", f"/numbers/{number}"))["status"] == "expired"
