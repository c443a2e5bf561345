"""The sandbox's webhooks: what they carry, retries, loss and duplicates."""

import asyncio

import httpx
import pytest
from sandbox_api import (
    HOOK,
    Api,
    Receiver,
    ids,
)

from piv_mcp.sandbox import Failure, Sandbox, Timing

pytest_plugins = ["sandbox_fixtures"]


async def test_sms_reaches_history_and_webhook(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    number = piv_day.state.numbers[ids(piv_day)["number"]]
    text = "G-123456 is your verification code"
    message_id = await piv_day.receive_sms(number.phone_number, text)
    newest = (await api.data("GET", f"/numbers/{number.piv_num_id}/sms"))["messages"][0]
    assert (newest["id"], newest["from_number"], newest["direction"]) == (message_id, "Google", "inbound")
    (request,) = receiver.requests
    assert (request.method, str(request.url)) == ("POST", HOOK)
    assert request.headers["User-Agent"] == "piv.day-webhook/1.0"
    assert request.headers["Content-Type"] == "application/json"
    event = receiver.events[0]
    assert event == {
        "event_type": "sms.received",
        "timestamp": event["timestamp"],
        "data": {
            "piv_num_id": number.piv_num_id,
            "text": text,
            "code": "123456",
            "country": "SE",
            "received_at": newest["received_at"],
        },
    }


async def test_untrusted_and_lost_sms_are_in_the_history_only(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    number = ids(piv_day)["number"]
    await piv_day.receive_sms(number, "spam", trusted=False)
    await piv_day.receive_sms(number, "lost", deliver=False)
    messages = (await api.data("GET", f"/numbers/{number}/sms"))["messages"]
    assert [message["message_body"] for message in messages[:2]] == ["lost", "spam"]
    assert receiver.requests == []


async def test_expired_or_unknown_number_receives_nothing(piv_day: Sandbox) -> None:
    with pytest.raises(ValueError, match="is expired"):
        await piv_day.receive_sms(ids(piv_day)["expired_number"], "hello")
    with pytest.raises(ValueError, match="no number"):
        await piv_day.receive_sms("+1", "hello")


def test_reference_timing_is_the_default() -> None:
    assert (Timing().webhook_timeout, Timing().webhook_retries) == (5.0, (1.0, 2.0, 4.0))


async def test_webhook_is_retried_until_it_is_accepted(piv_day: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [500, httpx.ConnectError("refused")]
    await piv_day.send_event("white.failed", {"job_id": "1", "name": "a", "error": "b"})
    await piv_day.settled()
    assert [(delivery.attempt, delivery.status) for delivery in piv_day.deliveries] == [
        (1, 500),
        (2, None),
        (3, 200),
    ]
    assert piv_day.deliveries[1].error == "ConnectError: refused"
    assert len({request.content for request in receiver.requests}) == 1


async def test_webhook_is_given_up_after_three_retries(piv_day: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [302, 404, 500, 503]
    await piv_day.send_event("sms.received", {})
    await piv_day.settled()
    assert [delivery.status for delivery in piv_day.deliveries] == [302, 404, 500, 503]
    assert len(receiver.requests) == 4


async def test_webhook_is_not_waited_for_longer_than_its_limit() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError("unreachable")

    timing = Timing(webhook_timeout=0.02, webhook_retries=())
    sandbox = Sandbox(webhook_url=HOOK, timing=timing, webhook_transport=httpx.MockTransport(never))
    await sandbox.send_event("sms.received", {})
    (delivery,) = sandbox.deliveries
    assert (delivery.status, delivery.error) == (None, "TimeoutError")
    await sandbox.aclose()


async def test_webhook_url_can_be_taken_away_and_given(piv_day: Sandbox, receiver: Receiver) -> None:
    piv_day.webhook_url = None
    await piv_day.send_event("sms.received", {})
    piv_day.webhook_url = "http://elsewhere.example/"
    await piv_day.send_event("sms.received", {})
    assert [str(request.url) for request in receiver.requests] == ["http://elsewhere.example/"]
    assert len(piv_day.events) == 2


async def test_webhooks_can_come_twice_or_never(piv_day: Sandbox, receiver: Receiver) -> None:
    piv_day.fail_next(Failure(kind="duplicate_webhook"))
    await piv_day.send_event("sms.received", {"text": "twice"})
    piv_day.fail_next(Failure(kind="lost_webhook"))
    await piv_day.send_event("sms.received", {"text": "never"})
    await piv_day.settled()
    assert [event["data"]["text"] for event in receiver.events] == ["twice", "twice"]


async def test_aclose_ends_deliveries(receiver: Receiver) -> None:
    receiver.answers = [500]
    sandbox = Sandbox(webhook_url=HOOK, webhook_transport=httpx.MockTransport(receiver))
    await sandbox.send_event("sms.received", {})
    await sandbox.aclose()
    await sandbox.settled()
    assert len(receiver.requests) == 1


async def test_webhook_crosses_a_real_network(piv_day: Sandbox) -> None:
    received = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        received.set_result(head.decode())
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    real = Sandbox(webhook_url=f"http://127.0.0.1:{port}/hook")
    await real.receive_sms(ids(real)["number"], "code 4711")
    assert (await received).startswith("POST /hook HTTP/1.1\r\n")
    assert [delivery.status for delivery in real.deliveries] == [204]
    await real.aclose()
    server.close()
    await server.wait_closed()
