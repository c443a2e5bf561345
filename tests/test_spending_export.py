"""The journal as CSV and JSON Lines: every entry whole, for programs and for spreadsheets, and no secret in it."""

import asyncio
import csv
import io
import json
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from harness import approver, connected
from journal_entries import an_entry
from purchases import BUY_NUMBER, BUY_PROXIES

from piv_mcp.cli.main import main
from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.export import FIELDS, PAGE_ENTRIES, exported
from piv_mcp.spending.messages import message
from piv_mcp.spending.quote import FREE, Quote
from piv_mcp.store import SqliteStore, Store, accounts
from piv_mcp.store import journal as rows
from piv_mcp.store.journal import Entry
from piv_mcp.store.spending_pages import EntryFilter
from piv_mcp.text.times import DAY_SECONDS, SYSTEM_CLOCK

HOSTILE = ("=1+1", "+46700000000", "-2", "@SUM(A1)", "\t=1", '"quoted", and\r\nin two lines', "家🙂;,")


def ended(n: int, **columns: Any) -> Entry:
    """An entry of which little is known but that it was charged. Its question has another price than its column."""
    headline = message("text", text=columns.pop("action", f"Rent number {n}"))
    known: dict[str, Any] = {"state": "charged", "arguments": '{"country_code": "SE"}', "price": "4.00"}
    known["quote"] = Quote(headline=headline, price=FREE).model_dump_json()
    return an_entry(n, 1_700_000_000.0 + n, **{**known, **columns})


async def insert(store: Store, entries: Sequence[Entry]) -> None:
    await store.write(lambda connection: [rows.insert(connection, entry) for entry in entries])


def stored(folder: Path, entries: Sequence[Entry], key: str | None = None, user_id: str | None = None) -> None:
    async def store_them() -> None:
        store = SqliteStore(folder / "store.sqlite3", key_digest=key)
        await insert(store, entries)
        if user_id is not None:
            await store.write(accounts.identify, user_id)
        await store.close()

    asyncio.run(store_them())


def command(folder: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--data-dir", str(folder), "spending", "export", *map(str, arguments)])


def table(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline=""), strict=True))


def lines(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.decode().splitlines()]


def test_both_formats_hold_every_entry_whole_the_oldest_first(data_dir: Path) -> None:
    entries = [ended(n, charged="4.00", agent="bot") for n in range(PAGE_ENTRIES + 3)]
    stored(data_dir, entries)
    told = table(command(data_dir).stdout_bytes)
    also = lines(command(data_dir, "--format", "jsonl").stdout_bytes)
    assert [row["spending_id"] for row in told] == [row["spending_id"] for row in also] == [row.id for row in entries]
    assert tuple(told[0]) == FIELDS
    assert {name: value for name, value in told[7].items() if value} == {
        **{name: str(value) for name, value in also[7].items() if name != "arguments"},
        "arguments": '{"country_code": "SE"}',
    }
    assert also[7]["arguments"] == {"country_code": "SE"}
    assert (also[7]["charged"], also[7]["quoted_at"]) == ("4.00", "2023-11-14T22:13:27Z")


def test_what_a_spreadsheet_would_calculate_is_text_and_all_else_is_as_it_was(data_dir: Path) -> None:
    stored(data_dir, [ended(n, problem=text, agent=text) for n, text in enumerate(HOSTILE)])
    told = table(command(data_dir).stdout_bytes)
    also = lines(command(data_dir, "--format", "jsonl").stdout_bytes)
    assert [row["problem"] for row in also] == [row["agent"] for row in also] == list(HOSTILE)
    assert [row["problem"] for row in told] == [f"'{text}" if n < 5 else text for n, text in enumerate(HOSTILE)]
    assert not [row for row in told if any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in row.values())]


def test_half_a_character_is_written_as_one_that_is_missing(data_dir: Path) -> None:
    stored(data_dir, [ended(1, arguments=r'{"name": "half \ud83d"}')])
    (told,) = table(command(data_dir).stdout_bytes)
    (also,) = lines(command(data_dir, "--format", "jsonl").stdout_bytes)
    assert json.loads(told["arguments"]) == also["arguments"] == {"name": "half \ufffd"}


def test_csv_has_the_line_ends_of_its_standard(data_dir: Path) -> None:
    stored(data_dir, [ended(1)])
    text = command(data_dir).stdout_bytes
    assert text.count(b"\r\n") == text.count(b"\n") == 2
    assert text.endswith(b"\r\n")


def test_an_empty_journal_is_the_names_of_the_columns_alone(data_dir: Path) -> None:
    stored(data_dir, [])
    assert table(command(data_dir).stdout_bytes) == []
    assert command(data_dir).stdout_bytes.startswith(b"account,spending_id,")
    assert command(data_dir, "--format", "jsonl").stdout_bytes == b""


def test_days_leave_out_what_is_older(data_dir: Path) -> None:
    now = SYSTEM_CLOCK.time()
    stored(data_dir, [ended(n, quoted_at=now - n * DAY_SECONDS) for n in (40, 2, 0)])
    assert [row["spending_id"][-2:] for row in table(command(data_dir, "--days", "3").stdout_bytes)] == ["02", "00"]


def test_a_damaged_entry_costs_no_other(data_dir: Path) -> None:
    stored(data_dir, [ended(1), ended(2, quote="{", arguments="{", result="["), ended(3)])
    told = lines(command(data_dir, "--format", "jsonl").stdout_bytes)
    assert [(row["spending_id"][-1], row["action"]) for row in told] == [
        ("1", "Rent number 1"),
        ("2", "purchase_number"),
        ("3", "Rent number 3"),
    ]


def test_a_damaged_reason_costs_no_other_entry(data_dir: Path) -> None:
    damaged = ("{", "[1]", "null", '{"not_sent": {"id": "of a newer version"}}')
    entries = [ended(n, state="price_changed", result=result) for n, result in enumerate(damaged)]
    stored(data_dir, [*entries, ended(9)])
    found = lines(command(data_dir, "--format", "jsonl").stdout_bytes)
    assert [entry.get("problem") for entry in found] == [*["the price changed"] * len(damaged), None]


def test_a_file_is_new_and_private(data_dir: Path, tmp_path: Path) -> None:
    stored(data_dir, [ended(1)])
    file = tmp_path / "spent.csv"
    assert command(data_dir, file).exit_code == 0
    assert len(table(file.read_bytes())) == 1
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = command(data_dir, file)
    assert again.exit_code == 1
    assert "File exists" in again.stderr


def test_several_accounts_are_told_apart(data_dir: Path) -> None:
    for n, key in enumerate(("a", "b")):
        digest = accounts.digest(key)
        stored(data_dir, [ended(n)], digest, user_id=f"user-{key}")
    told = table(command(data_dir).stdout_bytes)
    assert [(row["account"], row["spending_id"][-1]) for row in told] == [("user-a", "0"), ("user-b", "1")]


async def test_what_was_bought_is_exported_without_a_password(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, approver()) as app:
        await app.receipt(BUY_PROXIES)
        await app.receipt(BUY_NUMBER)
        for format in ("csv", "jsonl"):
            text = b"".join([part async for part in exported(app.services.store, EntryFilter(), format)])
            passwords = [proxy.password for order in app.sandbox.state.orders.values() for proxy in order.proxies]
            assert passwords
            assert not [word for word in passwords if word.encode() in text]
            told = table(text) if format == "csv" else lines(text)
            assert [(row["kind"], row["state"], row["charged"]) for row in told] == [
                ("purchase_proxies", "charged", "3.00"),
                ("purchase_number", "charged", "4.00"),
            ]
