"""How a person is asked: through the client where it can, else on a page in their browser.

The model can never approve: what it passes is the action, and nothing else. An answer comes from the client's own
dialogue (elicitation) or from the page, whose token the model never sees.
"""

import hashlib
import hmac
import os
import sys
from asyncio import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from piv_mcp.errors import PivError
from piv_mcp.spending.action import Decision
from piv_mcp.spending.quote import Quote
from piv_mcp.store.journal import Entry

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's answer that came back with a repeated request."""

    entry_id: str
    decision: Decision


class AskFirst(Exception):
    """The client must ask the person and repeat the request with the answer (protocol 2026-07-28)."""

    def __init__(self, entry_id: str, message: str) -> None:
        super().__init__(entry_id)
        self.entry_id = entry_id
        self.message = message


class ElicitationError(PivError):
    """The client said that it can ask, and could not."""

    code = "ELICITATION_FAILED"


class Person(Protocol):
    """The person behind a request, as far as its client reaches."""

    @property
    def can_be_asked(self) -> bool:
        """The client says that it can show a question."""
        ...

    @property
    def reply(self) -> Reply | None:
        """The answer that this request brings along."""
        ...

    async def ask(self, entry_id: str, message: str) -> Decision:
        """Show the question and wait for the answer.

        Raises:
            AskFirst: the answer comes with the next request.
            ElicitationError: the client could not ask.
        """
        ...

    async def progress(self, seconds: float, total: float, message: str) -> None:
        """Tell the client that the call is still waiting."""
        ...


class Pages:
    """Opens the approval page in the person's browser.

    `address` finds who serves it, e.g. http://127.0.0.1:8787. `key` is this machine's secret: every process of it makes
    and knows the same token for an entry.
    """

    def __init__(self, key: str, folder: Path, address: Callable[[], Awaitable[str]]) -> None:
        self._key = key
        self._folder = folder
        self._address = address
        self._opened: dict[str, bool] = {}

    def opened(self, entry: Entry) -> bool:
        """Whether this process has opened the page in a browser."""
        return self._opened.get(entry.id, False)

    async def open(self, entry: Entry) -> None:
        """Open the page, once per entry and process.

        A process list shows the browser's arguments, so they name a private file that leads on, and the token is only
        in there.
        """
        if entry.id in self._opened:
            return
        self._opened[entry.id] = False
        address = f"{await self._address()}/approvals/{entry.id}?token={token_of(self._key, entry.id)}"
        self._opened[entry.id] = await _browse(self._write(entry.id, address).as_uri())
        _log.info("approval page", id=entry.id, opened=self._opened[entry.id])

    def close(self, entry_id: str) -> None:
        """The page is no longer needed."""
        self._opened.pop(entry_id, None)
        self._file(entry_id).unlink(missing_ok=True)

    def _file(self, entry_id: str) -> Path:
        return self._folder / f"{entry_id}.html"

    def _write(self, entry_id: str, address: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._file(entry_id)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as page:
            page.write(
                '<!doctype html><meta charset="utf-8"><title>piv-mcp</title>'
                f'<meta http-equiv="refresh" content="0;url={address}"><a href="{address}">Go to the approval page</a>\n'
            )
        return file


def token_of(key: str, entry_id: str) -> str:
    """What opens the page of an entry. Only the person's browser gets it."""
    return hmac.new(key.encode(), entry_id.encode(), hashlib.sha256).hexdigest()


def message(quote: Quote) -> str:
    """The question in words: the same on every round, since a question that changed is asked again."""
    return f"{quote.text()}\n\nApprove this?"


async def _browse(address: str) -> bool:
    """In a process of its own: a browser may print, and it may block."""
    program = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
    try:
        process = await subprocess.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            address,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return await process.wait() == 0
    except OSError:
        return False
