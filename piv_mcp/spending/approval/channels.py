"""How a person is asked: through the client where it can, else on a page in their browser.

The model can never approve: what it passes is the action, and nothing else. An answer comes from the client's own
dialogue (elicitation) or from the page, whose token the model never sees.
"""

import asyncio
import hashlib
import hmac
import os
import sys
import time
from asyncio import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from piv_mcp.errors import PivError
from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.quote import FREEZE_SECONDS, Quote
from piv_mcp.store.journal import Entry
from piv_mcp.text.untrusted import one_line

BROWSER_SECONDS = 3.0
"""How long opening a page may take. Some browsers return only when their window is closed."""

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


class Address(Protocol):
    """Where the page is served, until it is released."""

    @property
    def url(self) -> str:
        """E.g. http://127.0.0.1:8787."""
        ...

    def release(self) -> None:
        """The page is needed no longer."""
        ...


class Pages:
    """Opens the approval page in the person's browser.

    `address` has it served until a time (seconds since the epoch). `key` is this machine's secret: every process of it
    makes and knows the same token for an entry.
    """

    def __init__(self, key: str, folder: Path, address: Callable[[float], Awaitable[Address]]) -> None:
        self._key = key
        self._folder = folder
        self._address = address
        self._opened: dict[str, bool] = {}
        self._served: dict[str, Address] = {}

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
        try:
            address = self._served[entry.id] = await self._address(entry.expires_at)
        except BaseException:
            self.close(entry.id)  # the next call tries again
            raise
        asyncio.get_running_loop().call_later(max(0.0, entry.expires_at - time.time()), self.close, entry.id)
        try:
            file = self._write(entry.id, f"{address.url}/approvals/{entry.id}?token={token_of(self._key, entry.id)}")
        except OSError as error:
            _log.warning("the approval page cannot be opened", id=entry.id, problem=str(error))
            return
        self._opened[entry.id] = await _browse(file.as_uri())
        _log.info("approval page", id=entry.id, opened=self._opened[entry.id])

    def close(self, entry_id: str) -> None:
        """The page is no longer needed."""
        self._opened.pop(entry_id, None)
        with suppress(OSError):
            self._file(entry_id).unlink()
        if (address := self._served.pop(entry_id, None)) is not None:
            address.release()

    def close_all(self) -> None:
        for entry_id in list(self._opened):
            self.close(entry_id)

    def _file(self, entry_id: str) -> Path:
        return self._folder / f"{entry_id}.html"

    def _write(self, entry_id: str, address: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.glob("*.html"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > FREEZE_SECONDS:
                left.unlink(missing_ok=True)
        file = self._file(entry_id)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as page:
            page.write(
                '<!doctype html><meta charset="utf-8"><title>piv-mcp</title>'
                f'<meta http-equiv="refresh" content="0;url={address}">'
                f'<a href="{address}">Go to the approval page</a>\n'
            )
        return file


def token_of(key: str, entry_id: str) -> str:
    """What opens the page of an entry. Only the person's browser gets it."""
    return hmac.new(key.encode(), entry_id.encode(), hashlib.sha256).hexdigest()


def lines(quote: Quote) -> list[tuple[str, str]]:
    """The quote as a person reads it. What others named or wrote cannot hide, reorder or add anything in it."""
    return [(label, one_line(value, len(value))) for label, value in quote.lines()]


def message(quote: Quote) -> str:
    """The question in words: the same on every round, since a question that changed is asked again."""
    return "\n".join(f"{label}: {value}" for label, value in lines(quote)) + "\n\nApprove this?"


async def _browse(address: str) -> bool:
    """In a process of its own, which knows neither our settings nor the folder that we were started in: a browser may
    print, and it may block."""
    program = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
    try:
        process = await subprocess.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            program,
            address,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.upper().startswith("PIV_")},
        )
    except OSError:
        return False
    ended = asyncio.ensure_future(process.wait())
    _browsers.add(ended)
    ended.add_done_callback(_browsers.discard)
    try:
        return await asyncio.wait_for(asyncio.shield(ended), BROWSER_SECONDS) == 0
    except TimeoutError:
        return True  # it will return when its window is closed


_browsers: set[asyncio.Future[int]] = set()
"""Browsers that have not returned: a future that nobody holds may vanish."""
