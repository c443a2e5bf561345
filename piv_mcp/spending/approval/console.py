"""The channel that waits for the person to look at the console of a server."""

import asyncio
from typing import ClassVar

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import DecisionReply, Person
from piv_mcp.store.journal import Entry


class ConsoleChannel:
    """Shows every question on the console, which is at the address `url`. It writes the answers to the journal."""

    name: ClassVar[str] = "page"

    def __init__(self, url: str) -> None:
        self._url = url

    def can_ask(self, entry: Entry, person: Person) -> bool:
        return True

    async def put(self, entry: Entry, person: Person) -> asyncio.Future[Decision] | None:
        return None

    async def decision(self, reply: DecisionReply) -> Decision | None:
        return None

    def no_answer(self, entry: Entry, problem: str | None = None) -> None:
        """Nothing to do: the question stays on the console until the quote expires."""

    def problem(self, entry: Entry) -> str | None:
        return None

    def where(self, entry: Entry) -> str | None:
        return f"on their console, {self._url}/approvals"

    def forget(self, entry_id: str) -> None:
        """Nothing to do: the console shows what waits."""

    def close(self) -> None:
        """Nothing to do."""
