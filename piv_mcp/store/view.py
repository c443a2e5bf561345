"""The store as one caller has it."""

from collections.abc import Awaitable, Callable, Collection
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from piv_mcp.store.connection import Connection
from piv_mcp.store.interface import Store
from piv_mcp.store.number_leases import NumberLease
from piv_mcp.store.sight import ShownConnection, Viewer, refuse_use
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

T = TypeVar("T")
P = ParamSpec("P")


class Reads(Protocol):
    """What a store and a view of it have in common."""

    def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


class View:
    """The store as `viewer` is shown it: see `sight`. `everything` is the store itself, for what shows nobody
    anything."""

    def __init__(self, everything: Store, viewer: Viewer, clock: Clock = SYSTEM_CLOCK) -> None:
        self.everything = everything
        self.viewer = viewer
        self._clock = clock

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Store.read`."""
        return await self.everything.read(lambda connection: fn(self._seen(connection), *args, **kwargs))

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Store.write`."""
        return await self.everything.write(lambda connection: fn(self._seen(connection), *args, **kwargs))

    def _seen(self, connection: Connection) -> ShownConnection:
        return ShownConnection(connection, self.viewer, self._clock.time())

    async def own_numbers(self) -> frozenset[str] | None:
        """The ids of the numbers that there are for the viewer; None: all."""
        if self.viewer.sees_numbers and not self.viewer.numbers_only:
            return None
        return await self.everything.read(lambda connection: self._seen(connection).own_numbers)

    async def leased_by_another(self, piv_num_id: str) -> NumberLease | None:
        """The lease that somebody else than the viewer has of a number."""
        return await self.everything.read(lambda connection: self._seen(connection).leases.get(piv_num_id))

    async def refuse_use(self, numbers: Collection[str]) -> None:
        """
        Raises:
            NumberLeasedError: somebody else than the viewer has leased one of the numbers.
        """
        if numbers:
            await self.read(refuse_use, numbers)

    async def hidden_since(self, piv_num_id: str) -> tuple[float | None] | None:
        """The time on piv.day's clock since which the number's messages are not shown (None: not known); None if all
        are."""
        lease = await self.leased_by_another(piv_num_id)
        return None if lease is None else (lease.remote_since,)
