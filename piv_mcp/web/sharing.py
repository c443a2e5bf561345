"""What a process shares with the other servers of the machine: it notes itself in the store, and says where settings
do not go together."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from piv_mcp import __version__
from piv_mcp.errors import StoreError
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.store import facts, servers
from piv_mcp.store.servers import Server, Surroundings
from piv_mcp.web.health import Expected

NOTE_SECONDS = 10.0
"""How often a process looks whether its row is there, and whom it shares the store with."""

FOREIGN_SECRET = "this webhook secret was first used for another account, which gets the webhooks to it"  # noqa: S105
SAME_SECRET = "set the same PIV_WEBHOOK_SECRET for all clients of an account, or none, and run piv-mcp doctor again"  # noqa: S105
OWN_SECRET = "set another PIV_WEBHOOK_SECRET for each account, or none: each then has one of its own"  # noqa: S105

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Settings of servers that do not go together, and the advice to the person."""

    problem: str
    do: str


def mismatches(server: Server, found: Surroundings) -> Iterator[Mismatch]:
    """What does not go together between `server` and the others that use its store."""
    if not found.owns_secret:
        yield Mismatch(FOREIGN_SECRET, OWN_SECRET)
    for other in found.of_account:
        if other.secret != server.secret:
            yield Mismatch(
                f"{_named(other)} has another webhook secret for the same account: the address of each holds only "
                "while it runs",
                SAME_SECRET,
            )
        if other.inbox_days != server.inbox_days:
            yield Mismatch(
                f"{_named(other)} keeps events for {other.inbox_days} days and not for {server.inbox_days}: the longer "
                "time counts while both run",
                "set the same PIV_INBOX_DAYS for all clients",
            )
    for other in found.others:
        if other.version != server.version:
            yield Mismatch(
                f"{_named(other)} is version {other.version} and not {server.version}",
                "update piv-mcp for all clients, and restart them",
            )


def _named(server: Server) -> str:
    return f"the server with process id {server.pid}"


class Sharing:
    """This process among the servers that use its store."""

    def __init__(
        self, inbox: Inbox, secret: str, port: int | None, on_new_holder: Callable[[], object] = lambda: None
    ) -> None:
        """`secret` is our webhook secret; `port` is our webhook port, None or 0 if it is nobody else's. `on_new_holder`
        is called when a server of another account has taken over the port: webhooks may have been lost in between, and
        nobody else looks for those of our account."""
        self._store = inbox.store
        self._inbox = inbox
        self._clock = inbox.clock
        self._days = inbox.days
        self._said: set[Mismatch] = set()
        self._on_new_holder = on_new_holder
        self._holder: Server | None = None
        self.server = Server(
            owner=f"{inbox.store.process}:{secrets.token_hex(4)}",
            secret=servers.digest(secret),
            port=port or 0,
            inbox_days=inbox.days,
            version=__version__,
            started_at=inbox.clock.time(),
        )
        self.received_since = self.server.started_at
        """Since when servers of the account have run without a break, as far as they know of each other."""
        self.owns_secret = True
        """Whether the webhook secret is this account's."""

    async def start(self) -> None:
        """Note this process, and say what does not go together."""
        try:
            await self.note()
        except StoreError as error:
            _log.warning("this server is not noted for the others yet", problem=error.message)

    async def run(self) -> None:
        """Keep the note, also in a store that replaced a damaged one, until cancelled."""
        while True:
            await self._clock.sleep(NOTE_SECONDS)
            with suppress(StoreError):
                await self.note()

    async def close(self) -> None:
        with suppress(StoreError):
            await self._store.write(servers.remove, self.server.owner)

    async def serves(self) -> None:
        """Note that this process holds the webhook port."""
        self.server = replace(self.server, serving=1)
        with suppress(StoreError):
            await self.note()

    async def holder_pid(self) -> str | None:
        """The process that holds the webhook port, if it is known."""
        with suppress(StoreError):
            return await self._store.read(
                servers.holder_pid, self.server.port, self._clock.time(), but=self.server.owner
            )
        return None

    async def expected(self) -> Expected | None:
        """What the holder of the port must know; None if the store cannot be read."""
        with suppress(StoreError):
            store_id = await self._store.read(facts.get, facts.STORE_ID)
            return Expected(store_id or "", self.server.secret)
        return None

    async def note(self) -> None:
        """Renew this process's row if need be, and say what does not go together with the others.

        Raises:
            StoreError: the store cannot be read or written.
        """
        now = self._clock.time()
        if not await self._store.read(servers.is_noted, self.server, now):
            await self._store.write(servers.note, self.server, now)
        found = await self._store.read(servers.around, self.server, now)
        self.owns_secret = found.owns_secret
        self._see_holder(found)
        self.received_since = min(server.started_at for server in (self.server, *found.of_account))
        self._inbox.days = await self._store.read(servers.longest_days, self._days, now)
        current = set(mismatches(self.server, found))
        for mismatch in sorted(current - self._said, key=lambda said: said.problem):
            _log.warning(mismatch.problem, do=mismatch.do)
        self._said = current

    def _see_holder(self, found: Surroundings) -> None:
        holder = next((other for other in found.others if other.serving and other.port == self.server.port), None)
        if holder is None:
            return
        before, self._holder = self._holder, holder
        if before is not None and before.owner != holder.owner and holder.account != found.account:
            self._on_new_holder()
