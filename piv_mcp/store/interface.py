"""What the program uses of a store, whichever engine keeps it: see `database.py` and `postgres`."""

from collections.abc import Callable, Collection, Hashable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from piv_mcp.store.connection import Connection
from piv_mcp.store.minute import Sent
from piv_mcp.text.times import Clock

T = TypeVar("T")
P = ParamSpec("P")

Subjects = Collection[str | None] | None
"""What a commit was about: the subjects of events; None: anything."""


class RequestLog(Protocol):
    """The requests of the last minute, of all processes that use the store."""

    @property
    def may_be_missing(self) -> bool:
        """Whether a process that cannot use it may count its own requests instead: it tells the others later."""
        ...

    async def run(self, job: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `job(connection, ...)` in a transaction, in which nobody else of the account can be. It may run a second
        time, after a rollback.

        Raises:
            StoreError: it cannot be used now.
        """
        ...

    def sent(self, request: Sent, *, told: bool) -> None:
        """This process sends a request. `told`: a transaction has stored it."""
        ...


class Store(Protocol):
    """The store as one process has it, for one account."""

    @property
    def requests(self) -> RequestLog: ...

    @property
    def process(self) -> str:
        """A name for this process, in two parts with a colon between, that no other user of the store has had."""
        ...

    @property
    def look_seconds(self) -> float:
        """Seconds between two looks for commits of other processes, while somebody waits for one."""
        ...

    async def account(self) -> int:
        """The account of the key. Raises `StoreError` if it is not known yet and the store cannot be read."""
        ...

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(connection, ...)`, which sees the store as it is at one moment.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(connection, ...)` in a transaction, in which nobody else of the account writes; returns when it is on
        disk.

        `fn` may run a second time, after a rollback, so it must change nothing but the store.

        Raises:
            StoreError: nothing was written, unless the error says that this is not known. Unless it is of a newer
                version, the same call may work later.
        """
        ...

    async def marker(self) -> Hashable:
        """A value that every commit for the account changes.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def is_writable(self) -> bool:
        """Whether it could be written lately, as far as that is known without trying."""
        ...

    def on_commit(self, wake: Callable[[Subjects], None]) -> None:
        """Call `wake`, in the event loop, when another process may have committed, as far as the engine tells, with
        what that was about."""
        ...

    def clock(self, clock: Clock) -> Clock:
        """The clock of all that share the store, for a process that has `clock`."""
        ...

    async def close(self) -> None:
        """Commit the queued writes, and let go of the store."""
        ...
