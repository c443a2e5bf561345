"""Freezes all that costs money, and waits until nothing of it can be sent any more.

Who claims an approval looks for a freeze in the same transaction. So after a freeze is committed, nothing new is
claimed, by any process. What was claimed before is sent at once, or not at all: see `BEGIN_SECONDS`.
"""

from collections.abc import Callable, Sequence

from piv_mcp.api.http import CONNECT_TIMEOUT
from piv_mcp.api.readings import RECENT_SECONDS
from piv_mcp.spending.journal import costs_money
from piv_mcp.store import Store, freezes
from piv_mcp.store.freezes import Freeze, Place
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

BEGIN_SECONDS = RECENT_SECONDS + CONNECT_TIMEOUT
"""So long after its claim a request is not begun any more. A process may look gone, or be stopped, and go on later."""

END_SECONDS = 35.0
"""So long after its claim a request has had its answer: a call takes 30 s at most. Its process does not answer."""

STILL_LOOK_SECONDS = 0.1


async def freeze(store: Store, place: Place, *, by: str | None = None, of_all: bool) -> tuple[Freeze, int]:
    """Freeze the account of the store, or all accounts. Returns the freeze that holds, which may be an earlier one, and
    how many approvals were ended that had not been sent.

    Raises:
        StoreError: the store cannot be written.
    """
    wanted = Freeze(store.clock(SYSTEM_CLOCK).time(), place, by)
    return await store.write(freezes.begin, wanted, costs_money, of_all=of_all)


async def still_claimed(store: Store, waited: float, *, of_all: bool) -> tuple[list[Entry], list[Entry]]:
    """After a freeze that was `waited` seconds ago: what was claimed before and may still be sent, and what has no
    outcome though it can no longer be sent.

    Raises:
        StoreError: the store cannot be read.
    """
    since = store.clock(SYSTEM_CLOCK).time() - BEGIN_SECONDS
    may_come: list[Entry] = []
    lost: list[Entry] = []
    for entry, is_gone in await store.read(freezes.claimed, since, of_all=of_all):
        (may_come if waited < (BEGIN_SECONDS if is_gone else END_SECONDS) else lost).append(entry)
    return may_come, lost


async def until_still(
    store: Store,
    *,
    of_all: bool,
    tell: Callable[[Sequence[Entry]], object] = lambda _: None,
    clock: Clock = SYSTEM_CLOCK,
) -> list[Entry]:
    """After `freeze`, wait until nothing that was claimed before can be sent any more. `tell` is called with what is
    waited for, whenever that changes. Returns what has no outcome though it can no longer be sent.

    Raises:
        StoreError: the store cannot be read.
    """
    began = clock.monotonic()
    told: list[str] = []
    while True:
        may_come, lost = await still_claimed(store, clock.monotonic() - began, of_all=of_all)
        if not may_come:
            return lost
        if (ids := [entry.id for entry in may_come]) != told:
            told = ids
            tell(may_come)
        await clock.sleep(STILL_LOOK_SECONDS)
