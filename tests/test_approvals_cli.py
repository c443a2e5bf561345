"""`piv-mcp approvals`: what waits is listed anywhere, and decided only by whoever reads a real terminal."""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from harness import Connect, until
from terminal import Terminal, terminal

from piv_mcp.api import numbers as api
from piv_mcp.cli import approvals
from piv_mcp.spending.actions.numbers import PurchaseNumberAction
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.spending.quote import Price, Quote
from piv_mcp.store import SqliteStore, Store, accounts
from piv_mcp.store import journal as rows
from piv_mcp.store.journal import Entry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")

WORD = r"[a-z]+-[0-9]{2}"
COMMAND = ("-m", "piv_mcp", "approvals")


@dataclass(frozen=True)
class Books:
    """The journal of a data directory."""

    folder: Path
    store: Store
    journal: Journal

    async def quoted(self, months: int = 1, name: str | None = None, **quote: Any) -> Entry:
        """Something that waits for approval."""
        request = api.PurchaseNumber(country_code="SE", duration_months=months, auto_renew=False, custom_name=name)
        given: dict[str, Any] = {
            "action": f"Rent a number in SE for {months} months{f', named {name}' if name else ''}",
            "price": Price(amount=Decimal("4.00") * months),
            "balance": Decimal("150.50"),
            **quote,
        }
        action = PurchaseNumberAction(request=request)
        return await self.journal.propose(action, Quote(**given), budget=None)

    async def lost(self, **quote: Any) -> Entry:
        """Something that was sent, and whose answer was lost."""
        entry = await self.quoted(**quote)
        assert await self.journal.decide(entry.id, "approve", by="page")
        assert await self.journal.claim(entry.id, "{}")
        assert await self.journal.end(entry.id, Ending("unknown", problem="no answer\x1b[2J"))
        return entry

    async def passes_its_time(self, entry: Entry) -> None:
        assert await self.store.write(
            lambda c: rows.change(c, entry.id, {"expires_at": time.time()}, only_if=("quoted",))
        )

    async def now(self, entry: Entry) -> Entry:
        found = await self.journal.get(entry.id)
        assert found is not None
        return found

    def command(self, encoding: str = "utf-8") -> dict[str, Any]:
        settings = {"PIV_DATA_DIR": str(self.folder), "PYTHONIOENCODING": encoding}
        return {"cwd": self.folder.parent, "env": {**os.environ, **settings}}


@pytest.fixture
async def books(data_dir: Path) -> AsyncIterator[Books]:
    store = SqliteStore(data_dir / "store.sqlite3")
    yield Books(data_dir, store, Journal(store))
    await store.close()


@dataclass(frozen=True)
class Output:
    code: int | None
    out: str
    err: str


async def piped(books: Books, typed: str = "", encoding: str = "utf-8") -> Output:
    """The command with its input and output in pipes, as a program runs it."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, **books.command(encoding)
    )
    out, err = await asyncio.wait_for(process.communicate(typed.encode()), 20)
    return Output(process.returncode, out.decode(encoding), err.decode(encoding))


@asynccontextmanager
async def at_a_terminal(books: Books, *, stdout: int | None = None) -> AsyncGenerator[Terminal]:
    async with terminal(*COMMAND, stdout=stdout, **books.command()) as person:
        yield person


@pytest.mark.parametrize(
    ("encoding", "shown"), [("cp1252", "\\\\u5bb6 ñ \\\\U0001f642"), ("gbk", "家 \\\\xf1 \\\\U0001f642")]
)
async def test_what_waits_is_listed_in_any_encoding_without_a_loss(books: Books, encoding: str, shown: str) -> None:
    await books.quoted(name="家 ñ 🙂")
    listed = await piped(books, encoding=encoding)
    assert listed.code == 1, "deciding needs a terminal"
    assert f"named {shown}".replace("\\\\", "\\") in listed.out
    assert "Traceback" not in listed.err


ASKS = rf"Type ({WORD}) to approve, no to decline, Enter to leave it: "


async def test_nothing_waiting_is_said_and_is_no_failure(books: Books) -> None:
    assert await piped(books) == Output(0, "Nothing waits for approval.\n", "")


@pytest.mark.parametrize("typed", ["", "yes\nno\namber-10\n" * 50])
async def test_without_a_terminal_it_lists_and_refuses_to_decide(books: Books, typed: str) -> None:
    entry = await books.quoted(3, notes=["The same action was carried out at 12:31 UTC"])
    lost = await books.lost()
    output = await piped(books, typed)
    assert output.code == 1
    assert output.err == "Error: deciding needs a terminal: run this command in one yourself\n"
    for shown in (
        entry.id,
        "Rent a number in SE for 3 months",
        "12.00 USD (exact)",
        "150.50 USD",
        "12:31 UTC",
        lost.id,
    ):
        assert shown in output.out
    assert "to approve" not in output.out, "no word is shown that could be typed"
    assert [(await books.now(one)).state for one in (entry, lost)] == ["quoted", "unknown"]


async def test_a_question_that_cannot_be_read_hides_no_other(books: Books) -> None:
    damaged, sound = await books.quoted(), await books.quoted(3)
    assert await books.store.write(lambda c: rows.change(c, damaged.id, {"quote": "{"}, only_if=("quoted",)))
    output = await piped(books)
    assert "Traceback" not in output.err
    for shown in (damaged.id, sound.id, "Rent a number in SE for 3 months"):
        assert shown in output.out


async def test_a_terminal_for_the_input_alone_is_none(books: Books) -> None:
    entry = await books.quoted()
    with (books.folder.parent / "out").open("wb") as out:
        async with at_a_terminal(books, stdout=out.fileno()) as terminal:
            terminal.types("yes")
            assert await terminal.process.wait() == 1
    assert (await books.now(entry)).state == "quoted"


async def test_the_word_on_the_screen_approves(books: Books) -> None:
    entry = await books.quoted()
    async with at_a_terminal(books) as terminal:
        (word,) = await terminal.sees(ASKS)
        assert (await books.now(entry)).state == "quoted"
        terminal.types(word)
        await terminal.sees(r"Approved\. The assistant carries it out")
        assert await terminal.process.wait() == 0
    decided = await books.now(entry)
    assert (decided.state, decided.decided_by) == ("approved", "terminal")


async def test_no_declines(books: Books) -> None:
    entry = await books.quoted()
    async with at_a_terminal(books) as terminal:
        await terminal.sees(ASKS)
        terminal.types("no")
        await terminal.sees(r"Declined\.")
        assert await terminal.process.wait() == 0
    decided = await books.now(entry)
    assert (decided.state, decided.decided_by) == ("declined", "terminal")


async def test_anything_else_leaves_it(books: Books) -> None:
    left = [await books.quoted(months) for months in (1, 2, 3, 6, 12)]
    last = await books.quoted(9)
    words: set[str] = set()
    async with at_a_terminal(books) as terminal:
        for times, answer in enumerate(["", "yes", "approve", "{upper}", "{earlier}"], start=1):
            (word,) = await terminal.sees(ASKS, times)
            terminal.types(answer.format(upper=word.upper(), earlier=min(words - {word}, default="")))
            await terminal.sees(r"Left as it is\.", times)
            words.add(word)
        (word,) = await terminal.sees(ASKS, 6)
        terminal.types(word)
        assert await terminal.process.wait() == 0
    assert {(await books.now(entry)).state for entry in left} == {"quoted"}
    assert (await books.now(last)).state == "approved"


async def test_closing_the_terminal_decides_nothing(books: Books) -> None:
    entry = await books.quoted()
    async with at_a_terminal(books) as terminal:
        await terminal.sees(ASKS)
        terminal.types("\x04")
        assert await terminal.process.wait() != 0
    assert (await books.now(entry)).state == "quoted"


async def test_what_was_decided_elsewhere_in_the_meantime_stays_so(books: Books) -> None:
    entry = await books.quoted()
    async with at_a_terminal(books) as terminal:
        (word,) = await terminal.sees(ASKS)
        assert await books.journal.decide(entry.id, "decline", by="page")
        terminal.types(word)
        await terminal.sees("In the meantime it was declined by the person, on the approval page")
    assert ((await books.now(entry)).state, (await books.now(entry)).decided_by) == ("declined", "page")


async def test_what_expires_while_it_is_read_is_not_approved(books: Books) -> None:
    entry = await books.quoted()
    async with at_a_terminal(books) as terminal:
        (word,) = await terminal.sees(ASKS)
        await books.passes_its_time(entry)
        terminal.types(word)
        await terminal.sees("It has expired")
    assert (await books.now(entry)).state == "expired"


async def test_what_has_expired_is_not_listed(books: Books) -> None:
    await books.passes_its_time(await books.quoted())
    assert (await piped(books)).out == "Nothing waits for approval.\n"


async def test_who_approved_what_was_sent_is_shown_and_nothing_where_nobody_has(books: Books) -> None:
    entry = await books.lost()
    await books.quoted(9)
    when = datetime.fromtimestamp((await books.now(entry)).decided_at or 0, UTC)
    decisions = [line for line in (await piped(books)).out.splitlines() if line.split()[:1] == ["Decision"]]
    assert decisions == [f"  Decision       approved by the person, on the approval page, {when:%Y-%m-%d %H:%M} UTC"]


LOST = rf"type ({WORD}) if it was charged, ({WORD}) if not, Enter to leave it: "


@pytest.mark.parametrize(
    ("answer", "state", "charged"), [(0, "charged", "4.00"), (1, "not_charged", None)], ids=["charged", "not charged"]
)
async def test_an_unknown_outcome_is_settled_with_the_word_for_it(
    books: Books, answer: int, state: str, charged: str | None
) -> None:
    entry = await books.lost()
    async with at_a_terminal(books) as terminal:
        words = await terminal.sees(LOST)
        terminal.types(words[answer])
        await terminal.sees(r"Settled\.")
        assert await terminal.process.wait() == 0
    settled = await books.now(entry)
    assert (settled.state, settled.charged) == (state, charged)
    assert settled.evidence == "a person settled it in the terminal"


@pytest.mark.parametrize("answer", ["", "no"])
async def test_an_unknown_outcome_is_left_unless_its_word_is_typed(books: Books, answer: str) -> None:
    entry = await books.lost()
    async with at_a_terminal(books) as terminal:
        await terminal.sees(LOST)
        terminal.types(answer)
        await terminal.sees(r"Left as it is\.")
    assert (await books.now(entry)).state == "unknown"


async def test_an_outcome_that_was_found_out_in_the_meantime_stays_so(books: Books) -> None:
    entry = await books.lost()
    async with at_a_terminal(books) as terminal:
        _, not_charged = await terminal.sees(LOST)
        assert await books.journal.end(entry.id, Ending("charged", charged=Decimal("4.00"), evidence="seen"))
        terminal.types(not_charged)
        await terminal.sees("settled elsewhere in the meantime")
    assert ((await books.now(entry)).state, (await books.now(entry)).evidence) == ("charged", "seen")


def test_the_two_words_of_a_question_differ() -> None:
    assert all(len({word.partition("-")[0] for word in approvals.words(2)}) == 2 for _ in range(500))


async def test_hostile_names_write_nothing_but_text_to_the_screen(books: Books) -> None:
    name = "Shop\x1b]0;owned\x07\x1b[8m\u202e\r\n  Price          0.00 USD"
    await books.quoted(name=name)
    await books.lost(months=2, name=name)
    output = await piped(books)
    assert "Shop⟨U+001B⟩]0;owned⟨U+0007⟩⟨U+001B⟩[8m⟨U+202E⟩ Price 0.00 USD" in output.out
    assert "no answer⟨U+001B⟩[2J" in output.out
    assert output.out.replace("\n", "").isprintable()
    assert [line for line in output.out.splitlines() if re.match(r"\s+Price\s", line)] == [
        "  Price          4.00 USD (exact)",
        "  Price          8.00 USD (exact)",
    ]


async def test_an_approval_in_the_terminal_is_noticed_by_the_call_that_waits(connect: Connect, data_dir: Path) -> None:
    buy = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
    async with connect() as app:
        call = asyncio.create_task(app.ok("purchase_number", **buy))
        books = Books(data_dir, app.services.inbox.store, app.services.gate.journal)
        await until(lambda: books.journal.entries(limit=1), seconds=10, what="the question")
        async with at_a_terminal(books) as terminal:
            (word,) = await terminal.sees(ASKS)
            terminal.types(word)
            assert (await asyncio.wait_for(call, 10))["status"] == "charged"


async def test_what_waits_is_listed_and_decided_for_each_account_of_the_store(books: Books) -> None:
    """Whatever key the terminal has: whoever sits at the machine owns them all."""
    other = SqliteStore(books.folder / "store.sqlite3", key_digest=accounts.digest("sk-key-of-the-other-account"))
    mine = SqliteStore(books.folder / "store.sqlite3", key_digest=accounts.digest("sk-key-of-the-first-account"))
    await mine.write(accounts.identify, "user-one")
    entries = [
        await Books(books.folder, store, Journal(store)).quoted(months) for store, months in ((mine, 1), (other, 3))
    ]
    listed = await piped(books)
    assert all(entry.id in listed.out for entry in entries)
    assert re.findall(r"account +(.*)", listed.out) == ["user-one", "number 2, not known by name"]
    async with at_a_terminal(books) as terminal:
        (word,) = await terminal.sees(ASKS)
        terminal.types("no")
        (word,) = await terminal.sees(ASKS, 2)
        terminal.types(word)
        assert await terminal.process.wait() == 0
    for store, entry, state in ((mine, entries[0], "declined"), (other, entries[1], "approved")):
        found = await Journal(store).get(entry.id)
        assert found is not None
        assert found.state == state
        await store.close()
