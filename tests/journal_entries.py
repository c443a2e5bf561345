"""Entries of the journal, for stores that are filled by hand."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from piv_mcp.spending.messages import message
from piv_mcp.spending.quote import Price, Quote
from piv_mcp.store.journal import Entry


def an_entry(n: int, at: float, *, action: str | None = None, **columns: Any) -> Entry:
    """An entry that was asked for at the time `at` (seconds since the epoch), at 4 dollars."""
    headline = message("text", text=action or f"Rent number {n}")
    entry = Entry(
        id=f"sp_{n:010x}",
        kind="purchase_number",
        area="numbers",
        arguments="{}",
        fingerprint=str(n),
        state="quoted",
        quote=Quote(headline=headline, price=Price(amount=Decimal(4))).model_dump_json(),
        price="4",
        quoted_at=at,
        expires_at=at + 600,
    )
    return replace(entry, **columns)


def charged_entry(n: int, at: float, *, action: str | None = None, **columns: Any) -> Entry:
    """The same, approved on the page and charged."""
    times: dict[str, Any] = {"decided_at": at + 5, "sent_at": at + 6, "settled_at": at + 7}
    charged: dict[str, Any] = {"state": "charged", "decided_by": "page", "charged": "4.00", **times}
    return an_entry(n, at, action=action, **{**charged, **columns})
