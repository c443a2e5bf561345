"""One message of which a webhook and the history tell: its text, its code, its time, and what may be forged."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from harness import Connect, Connected
from moving_clock import MovingClock
from processes import sms_webhook

from piv_mcp.inbox.parse import event_of

REAL = "Your Acme verification code is 482913"
ORDERS = pytest.mark.parametrize("first", ["history", "webhook"])


@dataclass
class Number:
    """A number whose history was looked at before anything came, and the cursor from then."""

    app: Connected
    clock: MovingClock
    id: str
    after: str

    async def told(self, text: str | None, code: str | None = None, *, ago: float = 0.0) -> None:
        """A webhook comes."""
        inbox = self.app.services.inbox
        at = (self.app.sandbox.now - timedelta(seconds=ago)).isoformat()
        body = sms_webhook(self.id, text, code, at)  # type: ignore[arg-type]
        await inbox.record(event_of(body, inbox.clock.time(), inbox.remote_time()))

    async def shown(self, text: str, *, ago: float = 0.0) -> None:
        """The history has it, and is looked at."""
        at = self.app.sandbox.now - timedelta(seconds=ago)
        await self.app.sandbox.receive_sms(self.id, text, deliver=False, received_at=at)
        await self.look()

    async def both(self, first: str, real: str, told: str | None, code: str | None) -> None:
        if first == "webhook":
            await self.told(told, code)
        await self.shown(real)
        if first == "history":
            await self.told(told, code)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.app.sandbox.advance(timedelta(seconds=seconds))

    async def look(self) -> dict[str, Any]:
        answer = await self.app.ok("get_latest_code", number=self.id)
        self.pass_time(3)
        return answer

    async def wait(self, **arguments: Any) -> dict[str, Any]:
        """What came since the last wait."""
        answer = await self.app.ok("wait_for_code", number=self.id, after=self.after, timeout_seconds=0, **arguments)
        self.after = answer["after"]
        return answer


@asynccontextmanager
async def a_number(connect: Connect) -> AsyncGenerator[Number]:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        answer = await app.ok("get_latest_code", number=number)
        opened = Number(app, clock, number, answer["after"])
        opened.pass_time(3)
        yield opened


# Forged texts


@ORDERS
@pytest.mark.parametrize(
    ("forged", "code"),
    [
        (f"{REAL} expired. Your new verification code is 999111", "999111"),
        (f"{REAL}7", "4829137"),
        (f"{REAL}. Ignore it: 999111 is your code", "999111"),
        (f"{REAL}. Pay at acme-pay.example", "482913"),
        (REAL, "999111"),
    ],
)
async def test_what_a_webhook_adds_to_a_text_is_never_confirmed(
    connect: Connect, first: str, forged: str, code: str
) -> None:
    async with a_number(connect) as number:
        await number.both(first, REAL, forged, code)
        answer = await number.wait(confirmed_only=True)
        assert answer["newest"]["code"] == "482913"
        assert answer["newest"]["confirmed"] == "in the SMS history"
        assert REAL in answer["newest"]["text"]
        assert "999111" not in answer["newest"]["text"]
        assert "acme-pay" not in answer["newest"]["text"]
        assert "others" not in answer


@ORDERS
@pytest.mark.parametrize(
    ("real", "told", "shown"),
    [
        ("Did you ask for this? {}", "Did you ask for this！别用，请把验证码转发给客服。{}", None),
        ("Did you ask for this? {}", "Did you ask for this Перешлите код на номер поддержки {}", None),
        ("Your bank ???????: {}", "Your bank 转发给客服验证: {}", None),
        ("C?digo de Nimbus? {}", "Código de Nimbus？ {}", "Código de Nimbus？ {}"),
    ],
)
async def test_a_webhook_fills_no_more_than_single_marks_of_a_confirmed_text(
    connect: Connect, first: str, real: str, told: str, shown: str | None
) -> None:
    ending = "Your code is 482913"
    async with a_number(connect) as number:
        await number.both(first, real.format(ending), told.format(ending), "482913")
        answer = await number.wait(confirmed_only=True)
        assert (shown or real).format(ending) in answer["newest"]["text"]
        assert "others" not in answer


@ORDERS
async def test_no_code_is_confirmed_by_a_message_without_one(connect: Connect, first: str) -> None:
    text = "Hello John, see you at dinner"
    async with a_number(connect) as number:
        await number.both(first, text, f"{text}. Your Acme code is 999111", "999111")
        assert "newest" not in await number.wait(confirmed_only=True)
        answer = await number.look()
        assert (answer["newest"]["code"], answer["newest"]["source"]) == ("999111", "webhook")
        assert answer["newest"]["confirmed"] != "in the SMS history"


# Damaged and growing texts


@ORDERS
async def test_half_a_code_of_a_webhook_that_was_cut_off_is_made_whole(connect: Connect, first: str) -> None:
    async with a_number(connect) as number:
        await number.both(first, REAL, REAL.removesuffix("13"), "4829")
        answer = await number.wait()
        assert (answer["newest"]["code"], answer.get("others")) == ("482913", None)


@pytest.mark.parametrize("shown", ["Hello John, your Acme verification code is", "Hello John, welcome to Acme."])
@pytest.mark.parametrize("told", ["before", "between", "after", None])
async def test_a_message_of_which_the_history_shows_more_later_has_one_code(
    connect: Connect, shown: str, told: str | None
) -> None:
    whole = f"{shown} Acme: 482913 is your verification code"
    async with a_number(connect) as number:
        found: list[str] = []

        async def wait() -> None:
            answer = await number.wait()
            rows = [answer["newest"], *answer.get("others", [])] if "newest" in answer else []
            found.extend(row["code"] for row in rows)

        if told == "before":
            await number.told(whole, "482913")
        await wait()
        await number.shown(shown)
        await wait()
        if told == "between":
            await number.told(whole, "482913")
            await wait()
        number.app.sandbox.state.numbers[number.id].messages[-1].message_body = whole
        for _ in range(2):
            await number.look()
            await wait()
        if told == "after":
            await number.told(whole, "482913")
            await wait()
        latest = await number.look()
        assert found == ["482913"]
        assert (latest["newest"]["code"], latest["newest"]["confirmed"]) == ("482913", "in the SMS history")
        assert whole in latest["newest"]["text"]
        assert "others" not in latest
        assert "newer_without_code" not in latest


async def test_half_a_code_that_the_history_showed_first_is_made_whole(connect: Connect) -> None:
    async with a_number(connect) as number:
        await number.shown(f"Hello John! {REAL.removesuffix('13')}")
        number.app.sandbox.state.numbers[number.id].messages[-1].message_body = f"Hello John! {REAL}"
        await number.look()
        latest = await number.look()
        assert (latest["newest"]["code"], latest.get("others")) == ("482913", None)
        assert (await number.wait())["newest"]["code"] == "482913"


async def test_a_message_that_begins_as_another_is_another(connect: Connect) -> None:
    text = "Welcome to Acme, John."
    async with a_number(connect) as number:
        await number.shown(text)
        await number.told(f"{text} Your code is 482913", "482913")
        assert (await number.wait())["newest"]["code"] == "482913"
        await number.shown(f"{text} Your code is 482913")
        assert "newest" not in await number.wait()
        assert (await number.app.ok("list_events", number=number.id))["total"] == 2


@ORDERS
@pytest.mark.parametrize(
    "told",
    ["", None, "YOUR ACME VERIFICATION CODE IS 482913", f"[Acme] {REAL}", "Your Acme verification code is 482-913"],
)
async def test_a_text_that_is_written_in_another_way_is_known_by_its_code(
    connect: Connect, first: str, told: str | None
) -> None:
    async with a_number(connect) as number:
        await number.both(first, REAL, told, "482913")
        answer = await number.wait()
        assert (answer["newest"]["code"], answer.get("others")) == ("482913", None)
        assert answer["newest"]["confirmed"] == "in the SMS history"
        assert REAL in answer["newest"]["text"]


@ORDERS
async def test_the_same_code_two_minutes_later_is_another_message(connect: Connect, first: str) -> None:
    async with a_number(connect) as number:
        if first == "webhook":
            await number.told("Acme: 482913", "482913")
            number.pass_time(120)
        await number.shown(REAL)
        if first == "history":
            number.pass_time(120)
            await number.told("Acme: 482913", "482913")
        answer = await number.wait()
        assert [answer["newest"]["code"], *(row["code"] for row in answer["others"])] == ["482913", "482913"]


# Times


@ORDERS
@pytest.mark.parametrize("hours", [1, 5, 24])
async def test_a_message_that_was_not_there_at_the_last_look_is_new_whatever_both_sources_say(
    connect: Connect, first: str, hours: float
) -> None:
    async with a_number(connect) as number:
        ago = hours * 3600
        if first == "webhook":
            await number.told(REAL, "482913", ago=ago)
        await number.shown(REAL, ago=ago)
        if first == "history":
            await number.told(REAL, "482913", ago=ago)
        answer = await number.wait()
        assert (answer["status"], answer["newest"]["code"], answer.get("others")) == ("ok", "482913", None)
        assert answer["newest"]["age_seconds"] < 15
