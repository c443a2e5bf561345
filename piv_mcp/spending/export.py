"""The journal for other programs: CSV for spreadsheets (RFC 4180), and JSON Lines."""

import csv
import io
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any, Literal, cast

from piv_mcp.spending.journal import NEW_PRICE, NOT_SENT
from piv_mcp.spending.quote import quote_of
from piv_mcp.spending.receipt import obstacle, outcome
from piv_mcp.store import spending_pages
from piv_mcp.store.journal import OBJECT_ID, Entry
from piv_mcp.store.spending_pages import EntryFilter
from piv_mcp.store.view import Reads
from piv_mcp.text.surrogates import replace_surrogates, replace_surrogates_in
from piv_mcp.text.times import utc

FileFormat = Literal["csv", "jsonl"]

MEDIA_TYPES: Mapping[FileFormat, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/jsonl; charset=utf-8",
}

_OURS = (OBJECT_ID, NEW_PRICE, NOT_SENT)
"""The fields of a stored result that are not piv.day's."""

PAGE_ENTRIES = 500
"""Entries that are read from the store at a time."""

FIELDS = (
    *("account", "spending_id", "state", "area", "kind", "action", "quoted", "certainty", "charged", "refund_reported"),
    *("currency", "agent", "quoted_at", "decided_at", "decided_by", "sent_at", "settled_at", "problem", "evidence"),
    *("arguments", "result"),
)
"""The columns. Amounts are decimal text, times ISO 8601 in UTC; `arguments` and `result` are JSON."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a cell begins with that a spreadsheet would calculate."""


async def exported(
    store: Reads, wanted: EntryFilter, format: FileFormat, *, account: str | None = None, header: bool = True
) -> AsyncGenerator[bytes]:
    """The entries in parts, the oldest first. `account` is the name of whose they are; without `header`, CSV has no
    line with the names of its columns.

    Raises:
        StoreError: the store cannot be read.
    """
    if format == "csv" and header:
        yield _csv_line(dict(zip(FIELDS, FIELDS, strict=True)))
    seq = 0
    while entries := await store.read(spending_pages.after, seq, wanted, limit=PAGE_ENTRIES):
        line = _csv_line if format == "csv" else _json_line
        yield b"".join(line(_fields(entry, account)) for entry in entries)
        seq = entries[-1].seq


def _fields(entry: Entry, account: str | None) -> dict[str, Any]:
    quote, result = quote_of(entry), _json(entry.result) or {}
    return {
        "account": account,
        "spending_id": entry.id,
        "state": outcome(entry, quote),
        "area": entry.area,
        "kind": entry.kind,
        "action": quote.action,
        "quoted": entry.price,
        "certainty": quote.price.certainty,
        "charged": entry.charged,
        "refund_reported": entry.refunded,
        "currency": "USD",
        "agent": entry.agent,
        "quoted_at": _time(entry.quoted_at),
        "decided_at": _time(entry.decided_at),
        "decided_by": entry.decided_by,
        "sent_at": _time(entry.sent_at),
        "settled_at": _time(entry.settled_at),
        "problem": obstacle(entry) if entry.state == "price_changed" else entry.problem,
        "evidence": entry.evidence,
        "arguments": _json(entry.arguments),
        "result": {name: value for name, value in result.items() if name not in _OURS} or None,
    }


def _csv_line(fields: Mapping[str, Any]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow([_cell(fields[name]) for name in FIELDS])
    return replace_surrogates(line.getvalue()).encode()


def _cell(value: object) -> str:
    """The text of a cell. One that a spreadsheet would calculate begins with an apostrophe."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json_line(fields: Mapping[str, Any]) -> bytes:
    told = {name: replace_surrogates_in(value) for name, value in fields.items() if value is not None}
    return f"{json.dumps(told, ensure_ascii=False)}\n".encode()


def _json(text: str | None) -> dict[str, Any] | None:
    with suppress(ValueError):  # it is damaged
        told: object = json.loads(text or "null")
        return cast("dict[str, Any]", told) if isinstance(told, dict) else None
    return None


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else f"{utc(seconds):%Y-%m-%dT%H:%M:%SZ}"
