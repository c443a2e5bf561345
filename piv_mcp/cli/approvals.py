"""What waits for a person: quotes to decide, and outcomes that only a person can settle. For the terminal."""

import secrets
from decimal import Decimal
from pathlib import Path

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.store import Store
from piv_mcp.store.journal import Entry

_WORDS = "amber birch cedar copper coral delta ember falcon garnet harbor indigo juniper lagoon maple marble meadow"


class Desk:
    """One look at the journal, or one decision, at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def waiting(self) -> list[Entry]:
        """Quotes that are open, then outcomes that are unknown; the oldest first."""
        store = Store(self._path)
        try:
            journal = Journal(store)
            await journal.expire()
            unknown = await journal.recover()
            return [*reversed(await journal.entries(limit=200, states=("quoted",))), *unknown]
        finally:
            await store.close()

    async def decide(self, entry: Entry, decision: Decision) -> bool:
        """The person's word on a quote; False if it was decided elsewhere or has expired."""
        store = Store(self._path)
        try:
            return await Journal(store).decide(entry.id, decision, by="terminal")
        finally:
            await store.close()

    async def settle(self, entry: Entry, *, charged: bool) -> bool:
        """The person's word on an outcome that is unknown."""
        store = Store(self._path)
        try:
            amount = Decimal(entry.price) if charged and entry.price is not None else None
            evidence = "a person settled it in the terminal"
            ending = Ending("charged" if charged else "not_charged", None, amount, entry.problem, evidence)
            return await Journal(store).settle(entry.id, ending)
        finally:
            await store.close()


def word() -> str:
    """To be typed by whoever reads the screen."""
    return words(1)[0]


def words(count: int) -> list[str]:
    """Several such words, all different."""
    return [f"{chosen}-{secrets.randbelow(90) + 10}" for chosen in secrets.SystemRandom().sample(_WORDS.split(), count)]
