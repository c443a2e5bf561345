"""Answers of piv.day that are lost on purpose, and a look at what became of the action."""

from decimal import Decimal
from typing import Any

from harness import Connected, text_of
from purchases import Purchase

from piv_mcp.sandbox import Failure
from piv_mcp.sandbox.failures import Kind
from piv_mcp.spending.reconcile.reconciler import GRACE_SECONDS
from piv_mcp.store.journal import Entry


async def lose(shop: Connected, purchase: Purchase, kind: Kind, /, **changed: Any) -> Entry:
    """Lose the answer; nothing has been concluded from it."""
    shop.sandbox.fail_next(Failure(kind=kind, method="POST", path=purchase.path))
    looked = shop.gate.reconciler.reconcile
    shop.gate.reconciler.reconcile = _unlooked  # pyright: ignore[reportAttributeAccessIssue]
    try:
        result = await shop.buy(purchase, **changed)
    finally:
        shop.gate.reconciler.reconcile = looked  # pyright: ignore[reportAttributeAccessIssue]
    assert "OUTCOME_UNKNOWN" in text_of(result)
    return (await shop.entries())[0]


async def _unlooked(entry: Entry) -> Entry:
    return entry


async def look(shop: Connected) -> list[str]:
    """The states after one look at everything that is unknown, the oldest first."""
    await shop.gate.reconciler.reconcile_all()
    return await shop.states()


async def graced(shop: Connected, seconds: float = GRACE_SECONDS) -> list[str]:
    """Likewise once the grace is over."""
    shop.advance(seconds)
    return await look(shop)


async def charged(shop: Connected) -> list[Decimal | None]:
    """Of every entry, the oldest first; None if the amount is not known."""
    return [None if entry.charged is None else Decimal(entry.charged) for entry in reversed(await shop.entries())]
