"""The log: on stderr alone, with no secret in it, at any level and depth."""

import io
import json
import logging
from typing import Any

import httpx
import pytest
import structlog
from harness import Connect

from piv_mcp import log
from piv_mcp.log import REDACTED, Redactor
from piv_mcp.server.observing import request_id
from piv_mcp.services import CALLER
from piv_mcp.store.agents import Agent

KEY = "sk-0123456789-abcdef"


def an_agent(name: str) -> Agent:
    return Agent(name=name, account=1, token="", added_at=0.0)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def redactor(stream: io.StringIO) -> Redactor:
    redactor = log.configure("DEBUG", "json", stream)
    redactor.add(KEY)
    return redactor


@pytest.mark.usefixtures("redactor")
def test_a_secret_is_cut_out_of_messages_values_and_whatever_they_hold(stream: io.StringIO) -> None:
    class Strange:
        def __repr__(self) -> str:
            return f"Strange({KEY})"

    logger = structlog.get_logger("piv_mcp.test")
    logger.info(f"with {KEY} inside", url=f"https://x/?q={KEY}", nested={"a": [{"b": (KEY,)}], KEY: {KEY}}, n=7)
    logger.warning("an object", thing=Strange(), error=ValueError(KEY), raw=KEY.encode())
    logging.getLogger("some.library").error("theirs: %s and %r", KEY, {"k": KEY})
    text = stream.getvalue()
    assert KEY not in text
    assert text.count(REDACTED) >= 9
    assert lines(stream)[0]["n"] == 7


@pytest.mark.usefixtures("redactor")
def test_a_secret_is_cut_out_of_tracebacks(stream: io.StringIO) -> None:
    def fails(argument: str) -> None:
        raise RuntimeError(f"bad value {argument}")

    for logger in (structlog.get_logger("piv_mcp.test"), logging.getLogger("some.library")):
        try:
            fails(KEY)
        except RuntimeError:
            logger.exception("it failed")
    assert KEY not in stream.getvalue()
    assert [("RuntimeError: bad value" in line["exception"]) for line in lines(stream)] == [True, True]


@pytest.mark.usefixtures("redactor")
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer never-registered-1", "never-registered-1"),
        ("{'authorization': 'bearer never-registered-2'}", "never-registered-2"),
        ("the agent's token is piv_agent_never-registered_4", "never-registered_4"),
        ("POST http://127.0.0.1:8787/webhooks/never-registered-3 200", "never-registered-3"),
        ("GET /approve/act_1?t=never-registered-4&x=1", "never-registered-4"),
        ("https://strg.example/download?format=php&token=never-registered-5", "never-registered-5"),
    ],
)
def test_secrets_that_nobody_registered_are_known_by_their_shape(stream: io.StringIO, text: str, secret: str) -> None:
    structlog.get_logger("piv_mcp.test").info("seen", text=text)
    assert secret not in stream.getvalue()
    assert REDACTED in stream.getvalue()


@pytest.mark.usefixtures("redactor")
async def test_the_addresses_of_requests_are_not_logged_even_at_debug(stream: io.StringIO) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    async with httpx.AsyncClient(transport=transport) as http:
        await http.post("http://127.0.0.1:1/webhooks/the-secret-path")
    assert stream.getvalue() == ""


def test_a_secret_too_short_to_be_one_is_left_alone() -> None:
    redactor = Redactor()
    redactor.add("ab")
    assert redactor.text("abc") == "abc"


@pytest.mark.parametrize(("level", "seen"), [("DEBUG", 4), ("INFO", 3), ("WARNING", 2), ("ERROR", 1)])
def test_the_level_decides_what_is_logged(stream: io.StringIO, level: str, seen: int) -> None:
    log.configure(level, "json", stream)
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger("piv_mcp.test"), name)("said")
    assert len(lines(stream)) == seen


@pytest.mark.parametrize("form", ["json", "text"])
def test_nothing_that_is_logged_can_move_the_cursor(stream: io.StringIO, form: str) -> None:
    log.configure("INFO", form, stream)
    structlog.get_logger("piv_mcp.test").info("event", type="\x1b[2Jx\u202ey\r", nested={"\x07": ["\x9b"]})
    assert all(char.isprintable() or char == "\n" for char in stream.getvalue())


def test_the_text_form_is_for_people_and_redacted_too(stream: io.StringIO) -> None:
    log.configure("INFO", "text", stream).add(KEY)
    structlog.get_logger("piv_mcp.test").info("something happened", key=KEY)
    assert "something happened" in stream.getvalue()
    assert KEY not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_nothing_is_logged_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("DEBUG")
    structlog.get_logger("piv_mcp.test").info("said")
    logging.getLogger("some.library").warning("said")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("said") == 2


@pytest.mark.usefixtures("redactor")
async def test_a_line_names_the_request_that_it_is_about_and_who_asked(stream: io.StringIO, connect: Connect) -> None:
    token = CALLER.set(an_agent("scraper"))
    try:
        async with connect() as app:
            await app.ok("get_account")
            await app.ok("get_account")
    finally:
        CALLER.reset(token)
    about = [line for line in lines(stream) if line.get("path") == "/account" and "agent" in line]
    assert len(about) == 2
    assert {line["agent"] for line in about} == {"scraper"}
    assert len({line["request"] for line in about}) == 2


@pytest.mark.usefixtures("redactor")
async def test_what_a_request_has_started_is_no_part_of_it(stream: io.StringIO, connect: Connect) -> None:
    """Background work goes on for other requests, of other agents."""
    token = CALLER.set(an_agent("scraper"))
    try:
        async with connect() as app:
            number = app.sandbox.add_numbers(1)[0]
            await app.ok("wait_for_code", number=number, timeout_seconds=0.1)
    finally:
        CALLER.reset(token)
    polls = [line for line in lines(stream) if line.get("path", "").endswith("/sms")]
    filled = [line for line in lines(stream) if line["event"] == "back-fill done"]
    assert polls
    assert filled
    assert not [line for line in [*polls, *filled] if "agent" in line or "request" in line]


def test_a_request_has_the_id_that_its_sender_gave_if_that_is_plain() -> None:
    assert request_id("01J-abc.def_9") == "01J-abc.def_9"
    for odd in (None, "", "a b", "x" * 65, "é", "a\n"):
        made = request_id(odd)
        assert made != odd
        assert len(made) == 16
