"""Each prompt is played: an assistant that follows its text step by step gets to the end, with few calls."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from examples import domain, number
from harness import ERAS, Connect, Connected, approver
from mcp.types import TextContent
from purchases import BUY_NUMBER

from piv_mcp.sandbox.records import SandboxNumber

pytestmark = pytest.mark.usefixtures("instant_retries")


@dataclass
class Assistant:
    """Makes the calls of a prompt. It calls nothing that the text does not name, except a `follow_up`."""

    app: Connected
    text: str = ""
    calls: list[str] = field(default_factory=list[str])

    async def reads(self, prompt: str, **arguments: str) -> None:
        (message,) = (await self.app.client.get_prompt(prompt, arguments)).messages
        assert isinstance(message.content, TextContent)
        self.text = message.content.text

    async def calls_tool(self, tool: str, **arguments: Any) -> dict[str, Any]:
        assert tool in self.text
        return await self._call(tool, arguments)

    async def follows(self, answer: dict[str, Any]) -> dict[str, Any]:
        assert "`follow_up`" in self.text
        return await self._call(answer["follow_up"]["tool"], answer["follow_up"]["arguments"])

    async def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(tool)
        return await self.app.ok(tool, **arguments)


@pytest.fixture(params=ERAS)
async def assistant(request: pytest.FixtureRequest, connect: Connect) -> AsyncIterator[Assistant]:
    async with connect(person=approver(), era=request.param, webhooks=True) as app:
        yield Assistant(app)


def ads(app: Connected) -> SandboxNumber:
    return app.sandbox.state.numbers[number(app.sandbox, "Ads")]


async def test_a_code_is_read_on_one_number(assistant: Assistant) -> None:
    app, phone = assistant.app, ads(assistant.app).phone_number
    await assistant.reads("read_my_code", number=phone)
    now = await assistant.calls_tool("get_latest_code", number=phone)
    assert now["status"] == "stale"
    await app.sandbox.receive_sms(number(app.sandbox, "Ads"), "Your code is 424242")
    code = await assistant.calls_tool("wait_for_code", number=phone, after=now["after"])
    assert code["newest"]["code"] == "424242"


async def test_a_code_is_read_on_any_number(assistant: Assistant) -> None:
    await assistant.reads("read_my_code")
    now = await assistant.calls_tool("get_latest_code")
    await assistant.app.sandbox.receive_sms(number(assistant.app.sandbox, "Ads"), "Your code is 424242")
    waited = await assistant.calls_tool("wait_for_event", types=["sms.received"], after=now["after"])
    assert [event["code"] for event in waited["events"]] == ["424242"]


async def test_a_sign_in_takes_the_code_of_its_service_and_no_earlier_one(assistant: Assistant) -> None:
    app, phone = assistant.app, ads(assistant.app).phone_number
    await app.sandbox.receive_sms(number(app.sandbox, "Ads"), "G-111111 is your Google verification code")
    await assistant.reads("sign_in_with_code", service="Google", number=phone)
    before = await assistant.calls_tool("get_latest_code", number=phone)
    assert before["newest"]["code"] == "111111", "a code that was there before it was requested"
    await app.sandbox.receive_sms(number(app.sandbox, "Ads"), "771234 is your Facebook code")
    other = await assistant.calls_tool("wait_for_code", number=phone, after=before["after"])
    assert "Facebook" in other["newest"]["text"]
    await app.sandbox.receive_sms(number(app.sandbox, "Ads"), "G-222222 is your Google verification code")
    code = await assistant.calls_tool("wait_for_code", number=phone, after=other["after"])
    assert code["newest"]["code"] == "222222"
    assert code["newest"]["confirmed"] == "not looked for yet"
    sure = await assistant.calls_tool("wait_for_code", number=phone, after=before["after"], confirmed_only=True)
    assert (sure["newest"]["code"], sure["newest"]["confirmed"]) == ("222222", "in the SMS history")
    assert len(assistant.calls) == 4, "two where the first code is the right one and comes from the history"


async def test_a_sign_in_shows_the_texts_of_other_codes_and_a_link_in_place_of_one(assistant: Assistant) -> None:
    app, phone = assistant.app, ads(assistant.app).phone_number
    await assistant.reads("sign_in_with_code", service="Google", number=phone)
    before = await assistant.calls_tool("get_latest_code", number=phone)
    for text in ("G-222222 is your Google verification code", "771234 is your Facebook code"):
        await app.sandbox.receive_sms(number(app.sandbox, "Ads"), text)
    both = await assistant.calls_tool("wait_for_code", number=phone, after=before["after"])
    assert "text" not in both["others"][0]
    events = (await assistant.calls_tool("list_events", number=phone))["events"]
    assert next(event["code"] for event in events if "Google" in event["text"]) == "222222"
    await app.sandbox.receive_sms(number(app.sandbox, "Ads"), "Sign in: https://accounts.google.com/in?token=abc")
    link = await assistant.calls_tool("wait_for_code", number=phone, after=both["after"], timeout_seconds=0)
    assert link["newest"]["link"] == "https://accounts.google.com/in?token=abc"
    assert link["newest"]["host"] == "accounts.google.com"


async def test_a_forged_code_stays_unconfirmed_for_a_sign_in(assistant: Assistant) -> None:
    app, phone = assistant.app, ads(assistant.app).phone_number
    await assistant.reads("sign_in_with_code", service="Google", number=phone)
    before = await assistant.calls_tool("get_latest_code", number=phone)
    await app.tell("sms.received", piv_num_id=number(app.sandbox, "Ads"), text="Your Google code is 999999")
    code = await assistant.calls_tool("wait_for_code", number=phone, after=before["after"])
    assert code["newest"]["confirmed"] == "not looked for yet"
    sure = await assistant.calls_tool(
        "wait_for_code", number=phone, after=before["after"], confirmed_only=True, timeout_seconds=0
    )
    assert sure["status"] == "timeout"


async def test_a_week_is_reviewed_in_three_calls(assistant: Assistant) -> None:
    app = assistant.app
    await app.receipt(BUY_NUMBER)
    await app.tell("verify.failed", piv_num_id=number(app.sandbox))
    await app.sandbox.receive_sms(number(app.sandbox, "Ads"), "Your code is 424242")
    await assistant.reads("weekly_review")
    spent = await assistant.calls_tool("list_spending", days=7, limit=200)
    ends = await assistant.calls_tool("list_commitments", days=7)
    came = await assistant.calls_tool("list_events", limit=100)
    assert len(app.writes) == 1, "the purchase before the review"
    assert spent["entries"][0]["decision"] == "approved by the person, in the client"
    assert {"balance", "automatic_cost"} <= set(ends)
    assert any("restore" in item for item in ends["commitments"])
    assert {"verify.failed", "sms.received"} <= {event["type"] for event in came["events"]}
    earlier = await assistant.calls_tool("list_events", limit=100, before=came["events"][-1]["event_id"])
    assert earlier["events"] == []


async def test_what_expires_is_reviewed_with_the_last_message_of_each_number(assistant: Assistant) -> None:
    await assistant.reads("review_expiring", days="30")
    ends = await assistant.calls_tool("list_commitments", days=30)
    numbers = [item["id"] for item in ends["commitments"] if item["what"] == "number"]
    for id_ in numbers:
        assert len((await assistant.calls_tool("list_sms", piv_num_id=id_, limit=1))["messages"]) <= 1
    assert numbers
    assert assistant.app.writes == []


RECORDS = [("A", "@", "1.2.3.4", True), ("CNAME", "www", "fresh-shop.com", True)]


def two_records(name: str) -> list[dict[str, Any]]:
    return [
        {"type": "A", "name": "@", "content": "1.2.3.4", "proxied": True},
        {"type": "CNAME", "name": "www", "content": name, "proxied": True},
    ]


def shown(records: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    return [(record["type"], record["name"], record["content"], record["proxied"]) for record in records]


async def test_a_new_domain_is_set_up_in_four_calls(assistant: Assistant) -> None:
    name = "fresh-shop.com"
    await assistant.reads("set_up_domain", domain=name, address="1.2.3.4")
    assert (await assistant.calls_tool("search_domain", q=name))["available"]
    begun = await assistant.calls_tool(
        "register_domain", domain=name, period=1, cloudflare=True, auto_renew=False, dns_records=two_records(name)
    )
    assert (await assistant.follows(begun))["events"][0]["type"] == "domain.registered"
    listed = await assistant.calls_tool("list_dns_records", domain_id=begun["result"]["domain"]["id"])
    assert shown(listed["records"]) == RECORDS
    assert len(assistant.calls) == 4


async def test_an_own_domain_is_pointed_at_a_server_without_duplicates(assistant: Assistant) -> None:
    name, id_ = "mysite.com", domain(assistant.app.sandbox)
    await assistant.reads("set_up_domain", domain=name, address="5.6.7.8")
    assert not (await assistant.calls_tool("search_domain", q=name))["available"]
    (mine,) = (await assistant.calls_tool("list_domains", search=name))["domains"]
    assert mine["id"] == id_
    before = (await assistant.calls_tool("list_dns_records", domain_id=id_))["records"]
    (bare,) = [record for record in before if (record["type"], record["name"]) == ("A", "@")]
    changed = await assistant.calls_tool("update_dns_record", domain_id=id_, record_id=bare["id"], content="5.6.7.8")
    assert changed["status"] == "done"
    after = (await assistant.calls_tool("list_dns_records", domain_id=id_))["records"]
    assert len(after) == len(before)
    assert [r["content"] for r in after if r["id"] == bare["id"]] == ["5.6.7.8"]
    assert assistant.app.sandbox.charges == []


async def test_a_new_domain_gets_its_site_in_eight_calls(assistant: Assistant) -> None:
    name = "fresh-shop.com"
    await assistant.reads(
        "new_domain_with_site", domain=name, about="Bicycles", country="DE", language="de", address="1.2.3.4"
    )
    assert (await assistant.calls_tool("search_domain", q=name))["available"]
    tier = (await assistant.calls_tool("list_white_tiers"))["tiers"][0]["tier_key"]
    begun = await assistant.calls_tool(
        "register_domain", domain=name, period=1, cloudflare=True, auto_renew=False, dns_records=two_records(name)
    )
    assert (await assistant.follows(begun))["events"][0]["type"] == "domain.registered"
    created = await assistant.calls_tool(
        "create_white", name="Bicycles", tier_key=tier, niche="Bicycles", country="DE", language="de", domain=name
    )
    done = await assistant.follows(created)
    assert done["events"][0]["type"] == "white.completed"
    download = await assistant.calls_tool("get_white_download", **done["follow_up"]["arguments"])
    assert download["url"].startswith("https://")
    listed = await assistant.calls_tool("list_dns_records", domain_id=begun["result"]["domain"]["id"])
    assert shown(listed["records"]) == RECORDS
    assert len(assistant.calls) == 8
    assert [charge.action for charge in assistant.app.sandbox.charges] == ["domain.register", "white.create"]


async def test_a_registration_is_followed_without_webhooks(connect: Connect) -> None:
    async with connect(person=approver()) as app:
        assistant, name = Assistant(app), "fresh-shop.com"
        await assistant.reads("set_up_domain", domain=name, address="1.2.3.4")
        begun = await assistant.calls_tool(
            "register_domain", domain=name, period=1, cloudflare=True, auto_renew=False, dns_records=two_records(name)
        )
        begun["follow_up"]["arguments"]["timeout_seconds"] = 0
        waited = await assistant.follows(begun)
        assert "its answer has the state now" in assistant.text
        assert waited["status"] == "ok" or waited["in_progress"][0]["what"] == "registration"
        assert (await app.ok("get_domain", domain_id=begun["result"]["domain"]["id"]))["status"] == "active"


async def test_an_overview_reads_each_list_once(assistant: Assistant) -> None:
    await assistant.reads("account_overview")
    for tool in (
        *("list_commitments", "list_spending", "list_numbers", "list_proxy_orders", "list_domains", "list_whites"),
        "list_events",
    ):
        await assistant.calls_tool(tool)
    assert assistant.app.writes == []
