"""What completes the arguments of prompts while a person types."""

import asyncio
from typing import get_args

import pytest
from harness import ERAS, Connect, Connected, Era, until
from mcp import Client
from mcp.types import PromptReference, ResourceTemplateReference
from moving_clock import MovingClock

from piv_mcp.api.retry import ATTEMPTS
from piv_mcp.config import load
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.server import prompts
from piv_mcp.server.build import build_server
from piv_mcp.server.completions import MAX_AGE, PATIENCE, SOURCES

pytestmark = pytest.mark.usefixtures("instant_retries")

NUMBER, DOMAIN, DAYS = ("read_my_code", "number"), ("set_up_domain", "domain"), ("review_expiring", "days")


async def complete(client: Client, argument: tuple[str, str], typed: str) -> list[str]:
    prompt, name = argument
    reference = PromptReference(type="ref/prompt", name=prompt)
    return (await client.complete(reference, {"name": name, "value": typed})).completion.values


def phone(sandbox: Sandbox, name: str) -> str:
    return next(item.phone_number for item in sandbox.state.numbers.values() if item.custom_name == name)


async def test_the_capability_is_declared(app: Connected) -> None:
    capabilities = app.client.server_capabilities
    assert capabilities is not None
    assert capabilities.completions is not None


async def test_a_number_is_found_by_any_of_its_digits_and_by_its_name(app: Connected) -> None:
    office, ads = phone(app.sandbox, "Office line"), phone(app.sandbox, "Ads")
    assert office.startswith("+4676")
    for typed in ("+46 76", "0046-76", "076", office, office[-4:], "office", "LINE"):
        assert await complete(app.client, NUMBER, typed) == [office], typed
    assert await complete(app.client, NUMBER, "ads") == [ads]
    assert await complete(app.client, NUMBER, "999999999") == []
    assert await complete(app.client, NUMBER, "no such name") == []


async def test_only_active_numbers_are_offered(app: Connected) -> None:
    active = [
        item.phone_number for item in app.sandbox.state.numbers.values() if item.status(app.sandbox.now) == "active"
    ]
    for typed in ("", "+"):
        assert sorted(await complete(app.client, NUMBER, typed)) == sorted(active)
    assert await complete(app.client, NUMBER, phone(app.sandbox, "Old campaign")) == []


async def test_a_domain_is_found_by_a_part_of_its_name(app: Connected) -> None:
    assert sorted(await complete(app.client, DOMAIN, "")) == ["mysite.com", "other-host.org"]
    assert await complete(app.client, DOMAIN, "MySi") == ["mysite.com"]
    assert await complete(app.client, DOMAIN, "host") == ["other-host.org"]
    assert await complete(app.client, DOMAIN, "brand-new.com") == []


async def test_days_are_completed_from_their_beginning(app: Connected) -> None:
    assert await complete(app.client, DAYS, "") == ["7", "30", "90", "365"]
    assert await complete(app.client, DAYS, "3") == ["30", "365"]
    assert await complete(app.client, DAYS, "8") == []


async def test_what_nothing_completes_and_what_there_is_not_completes_to_nothing(app: Connected) -> None:
    for argument in (("set_up_domain", "address"), ("read_my_code", "nothing"), ("no_such_prompt", "number")):
        assert await complete(app.client, argument, "") == []
    assert app.sent == []


async def test_typing_a_word_costs_one_request_a_minute(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        for typed in ("", "o", "of", "off", "offi"):
            await complete(app.client, NUMBER, typed)
        assert [sent[:2] for sent in app.sent] == [("GET", "/numbers")]
        app.advance(MAX_AGE)
        await complete(app.client, NUMBER, "offic")
        assert len(app.sent) == 2


async def test_what_is_known_serves_other_prompts_and_ids_are_known_as_long(
    connect: Connect,
) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        await complete(app.client, NUMBER, "")
        await complete(app.client, ("sign_in_with_code", "number"), "")
        assert len(app.sent) == 1, app.sent
        for typed in ("", "a", "ab"):
            reference = ResourceTemplateReference(type="ref/resource", uri="piv://numbers/{piv_num_id}")
            await app.client.complete(reference, {"name": "piv_num_id", "value": typed})
        assert len(app.sent) == 2


async def test_a_change_is_seen_at_once(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        assert await complete(app.client, NUMBER, "support") == []
        id_ = next(iter(app.sandbox.state.numbers))
        await app.ok("rename_number", piv_num_id=id_, custom_name="Support line")
        assert await complete(app.client, NUMBER, "support") == [app.sandbox.state.numbers[id_].phone_number]


async def test_piv_day_searches_where_there_are_more_numbers_than_a_page_holds(modern_app: Connected) -> None:
    last = modern_app.sandbox.state.numbers[modern_app.sandbox.add_numbers(250)[-1]]
    assert len(await complete(modern_app.client, NUMBER, "")) == 100
    assert last.phone_number in await complete(modern_app.client, NUMBER, last.phone_number[1:])
    office = phone(modern_app.sandbox, "Office line")
    assert await complete(modern_app.client, NUMBER, "Office") == [office]
    assert len(modern_app.sent) == 3, "the page, and a search for each text"


@pytest.mark.parametrize("era", ERAS)
async def test_without_a_key_the_account_completes_nothing(era: Era) -> None:
    async with Client(build_server(load()), mode=era) as client:
        assert await complete(client, NUMBER, "") == []
        assert await complete(client, DOMAIN, "") == []
        assert await complete(client, DAYS, "9") == ["90"]


@pytest.mark.parametrize(
    "failure",
    [
        Failure(kind="status", status=401, code="UNAUTHORIZED"),
        Failure(kind="html", times=ATTEMPTS),
        Failure(kind="drop_before", times=ATTEMPTS),
        Failure(kind="garbage"),
    ],
    ids=lambda failure: failure.kind,
)
async def test_a_failure_completes_to_nothing_and_is_not_kept(app: Connected, failure: Failure) -> None:
    app.sandbox.fail_next(failure)
    assert await complete(app.client, NUMBER, "ads") == []
    assert await complete(app.client, NUMBER, "ads") == [phone(app.sandbox, "Ads")]


async def test_nobody_waits_long_for_a_completion_and_the_next_has_what_came(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        app.sandbox.fail_next(Failure(kind="slow", delay=PATIENCE + 1, path="/numbers"))
        typing = asyncio.create_task(complete(app.client, NUMBER, "ad"))
        await until(lambda: app.sent, seconds=20, what="the request")
        app.advance(PATIENCE)
        assert await typing == []
        app.advance(1)
        assert await complete(app.client, NUMBER, "ads") == [phone(app.sandbox, "Ads")]
        assert len(app.sent) == 1, app.sent


def test_every_source_of_a_prompt_is_one_that_there_is() -> None:
    assert set(SOURCES) == set(get_args(prompts.Source))
