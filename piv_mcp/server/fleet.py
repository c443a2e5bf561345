"""The accounts of a server for many, each with services of its own in the one process."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from piv_mcp.config import Settings
from piv_mcp.errors import ConfigError, PivError
from piv_mcp.log import Redactor
from piv_mcp.runtime import Runtime
from piv_mcp.server.account_files import AccountFile, read_accounts
from piv_mcp.server.scoping import for_agent
from piv_mcp.services import CALLER, Services
from piv_mcp.store import servers
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.serving import HostedWebhooks

LOOK_SECONDS = 2.0
"""How often the key files are looked at, and accounts that did not start are tried again."""

LEAVE_SECONDS = 30.0
"""What is asked of an account whose files have changed may take so long to end."""

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Served:
    """One account. `problem` says why it has not started."""

    file: AccountFile
    runtime: Runtime
    services: Services | None = None
    problem: str = "it is starting"


class Fleet:
    """The services of all accounts (implements `Lifespan`): those of a request are those of its agent's account."""

    def __init__(self, settings: Settings, redactor: Redactor, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.settings = settings
        self.clock = clock
        self._redactor = redactor
        self._members: dict[str, _Served] = {}
        self._problems: dict[str, str] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()
        self.tried = asyncio.Event()
        """Set as soon as each account has been tried to start once."""

    async def services(self) -> Services:
        """The services for the agent of the present request.

        Raises:
            ConfigError: its account is not served here, or not yet.
        """
        agent = CALLER.get()
        if agent is None:
            raise ConfigError("nobody is known to ask")
        return for_agent(await self.of_account(agent.account), agent)

    async def of_account(self, account: int) -> Services:
        """The services of an account, as its person has them. Raises as `services`."""
        for member in self._members.values():
            if member.services is not None and await member.services.store.everything.account() == account:
                return member.services
        if waiting := [member.problem for member in self._members.values() if member.services is None]:
            # Of several it is not known whose the trouble is: that of another account is not told.
            problem = waiting[0] if len(self._members) == 1 else "the log of the server says more"
            raise ConfigError(f"the account may not be ready: {problem}", hint="Try again in a few seconds")
        raise ConfigError(
            "the account is not served here: the server has no key of it",
            hint="The person who runs the server puts the account's key into a file of PIV_ACCOUNTS_DIR",
        )

    @asynccontextmanager
    async def running(
        self, first_answer: asyncio.Event, also: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator["Fleet"]:
        """Starts all accounts, and what `also` does; stops them at the end of the block."""
        running = asyncio.create_task(self._run(also))
        try:
            yield self
        finally:
            self._ending.set()
            running.cancel()
            await asyncio.gather(running, *self._leaving, return_exceptions=True)
            await asyncio.gather(*(member.runtime.stop() for member in self._members.values()))

    async def receive(self, request: Request) -> Response:
        """Take a webhook, for the account whose secret it has."""
        digest = servers.digest(request.path_params["secret"])
        hosts = [host for services in self.started() if isinstance(host := services.receiving, HostedWebhooks)]
        own = next((host for host in hosts if host.is_for(digest)), None)
        if own is None and len(hosts) < max(1, len(self._members)):
            return JSONResponse({"ok": False, "error": "not started, send it again"}, 503, {"Retry-After": "2"})
        # Any of them knows the secrets of the other servers that use the store.
        return await (own or hosts[0]).receive(request)

    def started(self) -> list[Services]:
        return [member.services for member in self._members.values() if member.services is not None]

    def stop_waits(self) -> None:
        """Let every call that waits answer now: the process is to end."""
        for services in self.started():
            services.inbox.changes.stop()

    async def _run(self, also: Callable[[], Awaitable[None]] | None) -> None:
        if also is not None:
            await also()
        while True:
            try:
                await self._look()
            except Exception:
                _log.exception("the accounts could not be looked at")
            if not self.tried.is_set():
                self.tried.set()
                gc.freeze()  # or going through all that is loaded would hold up every call now and then
            await self.clock.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        """Start the accounts whose files are new or have changed, and those that did not start; stop the others."""
        found, problems = await asyncio.to_thread(read_accounts, self.settings)
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                _log.error("an account is not served", account=name, problem=problem)
        self._problems = problems
        files = {file.name: file for file in found}
        before = self._members
        same = {name: member for name, member in before.items() if files.get(name) == member.file}
        # A file that has become unreadable takes no account away that is served: it may be in the middle of a change.
        kept = {name: member for name, member in before.items() if name in problems}
        fresh = {name: self._member(file) for name, file in files.items() if name not in same}
        await asyncio.gather(*(self._start(member) for member in [*same.values(), *fresh.values()]))
        self._members = dict(sorted({**kept, **same, **fresh}.items()))
        for name, member in before.items():
            if self._members.get(name) is not member:
                leaving = asyncio.create_task(self._leave(member))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    def _member(self, file: AccountFile) -> _Served:
        return _Served(file, Runtime(file.settings(self.settings), self._redactor, clock=self.clock))

    async def _start(self, member: _Served) -> None:
        if member.services is not None:
            return
        try:
            member.services = await member.runtime.services()
        except Exception as error:
            problem = error.message if isinstance(error, PivError) else type(error).__name__
            if problem != member.problem:
                _log.error("an account did not start; trying again", account=member.file.name, problem=problem)
            member.problem = problem
        else:
            _log.info("an account is served", account=member.file.name)

    async def _leave(self, member: _Served) -> None:
        """Stop an account's services, after the calls that use them."""
        _log.info("the files of an account have changed: its services of before end", account=member.file.name)
        if member.services is not None:
            member.services.inbox.changes.stop()
            with suppress(TimeoutError):
                async with self.clock.timeout(LEAVE_SECONDS):
                    await self._ending.wait()
        await member.runtime.stop()
