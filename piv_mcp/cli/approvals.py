"""`piv-mcp approvals`: quotes that wait for a decision, and unknown outcomes that only the person can settle."""

import secrets
from decimal import Decimal
from pathlib import Path

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.store import Store
from piv_mcp.store.journal import Entry

_NOUNS = "amber birch cedar copper coral delta ember falcon garnet harbor indigo juniper lagoon maple marble meadow"


class Desk:
    """Reads the spending journal, and records the person's decisions in it. Each call opens the store anew."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def waiting(self) -> list[Entry]:
        """Undecided quotes with the oldest first, then entries whose outcome is unknown."""
        store = Store(self._path)
        try:
            journal = Journal(store)
            await journal.expire()
            unknown = await journal.recover()
            return [*reversed(await journal.entries(limit=200, states=("quoted",))), *unknown]
        finally:
            await store.close()

    async def decide(self, entry: Entry, decision: Decision) -> bool:
        """Approve or decline a quote; False if it was decided elsewhere or has expired."""
        store = Store(self._path)
        try:
            return await Journal(store).decide(entry.id, decision, by="terminal")
        finally:
            await store.close()

    async def settle(self, entry: Entry, *, charged: bool) -> bool:
        """Settle an entry whose outcome is unknown; False if it was settled elsewhere."""
        store = Store(self._path)
        try:
            amount = Decimal(entry.price) if charged and entry.price is not None else None
            evidence = "a person settled it in the terminal"
            ending = Ending("charged" if charged else "not_charged", None, amount, entry.problem, evidence)
            return await Journal(store).settle(entry.id, ending)
        finally:
            await store.close()


def word() -> str:
    """A random confirmation word, which shows that the one who types it has read the screen."""
    return words(1)[0]


def words(count: int) -> list[str]:
    """`count` different confirmation words."""
    return [f"{noun}-{secrets.randbelow(90) + 10}" for noun in secrets.SystemRandom().sample(_NOUNS.split(), count)]
