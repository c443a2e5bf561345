"""Finds out what became of a request whose answer was lost: by what the account shows, and by its balance.

Nothing is ever sent again. Presence settles at once. Absence settles only after `GRACE_SECONDS`, when the request can no
longer be on its way, and only where the balance does not contradict it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import structlog

from piv_mcp.errors import PivError
from piv_mcp.spending import actions
from piv_mcp.spending.action import Action, Done, Sources
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.spending.quote import dollars
from piv_mcp.store.journal import Entry

GRACE_SECONDS = 10.0
"""From the loss of the answer until the absence of an effect is believed."""

LONG_GRACE_SECONDS = 60.0
"""Likewise where the balance moved for other reasons, and only the missing object speaks."""

AGAIN_SECONDS = 15.0
"""Between two looks at what stays unknown."""

_log = structlog.get_logger(__name__)


async def balance_of(sources: Sources) -> Decimal | None:
    return (await sources.api.account.get()).balance


async def remembered(action: Action, sources: Sources) -> str:
    """What the API shows just before the request, for the journal."""
    balance = await balance_of(sources)
    return json.dumps(
        {"balance": None if balance is None else str(balance), "shown": await action.before(sources)},
        ensure_ascii=False,
    )


class Reconciler:
    """Settles unknown entries. `run` does so at start and for as long as any is left."""

    def __init__(self, sources: Sources, journal: Journal) -> None:
        self._sources = sources
        self._journal = journal
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """An outcome was lost just now."""
        self._hurry.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._hurry.clear()
            left = True
            try:
                left = bool(await self.reconcile_all())
            except PivError as error:
                _log.warning("reconciliation interrupted", problem=str(error))
            try:
                await asyncio.wait_for(self._hurry.wait(), AGAIN_SECONDS if left else None)
                await asyncio.sleep(GRACE_SECONDS)  # the call that lost it has looked already
            except TimeoutError:
                continue

    async def reconcile_all(self) -> list[Entry]:
        """Look at every unknown entry; returns those that stay unknown."""
        entries = [await self.reconcile(entry) for entry in await self._journal.recover()]
        return [entry for entry in entries if entry.state == "unknown"]

    async def reconcile_patiently(self, entries: list[Entry], tell: Callable[[float], Awaitable[None]]) -> list[Entry]:
        """Look at these; where only the grace is missing, wait for its end and look again."""
        looked = [await self.reconcile(entry) for entry in entries]
        ends = [end for entry in looked if entry.state == "unknown" and (end := _grace_end(entry)) > time.time()]
        if ends:
            wait = min(max(ends) - time.time(), GRACE_SECONDS) + 0.1
            await tell(wait)
            await asyncio.sleep(wait)
            looked = [await self.reconcile(entry) if entry.state == "unknown" else entry for entry in looked]
        return looked

    async def reconcile(self, entry: Entry) -> Entry:
        """Settle the entry if what the account shows allows it; returns it as it then stands."""
        if entry.state != "unknown":
            return entry
        action = actions.load(entry.kind, entry.arguments)
        before: dict[str, Any] = json.loads(entry.before or "{}")
        try:
            done = await action.look(
                self._sources, before.get("shown", {}), entry.sent_at or 0.0, await self._journal.claimed()
            )
            balance = await balance_of(self._sources)
        except PivError as error:
            _log.warning("not reconciled yet", id=entry.id, problem=str(error))
            return entry
        remembered_balance = None if before.get("balance") is None else Decimal(before["balance"])
        fell = None if balance is None or remembered_balance is None else remembered_balance - balance
        others = await self._journal.around(entry)
        if any(other.state in ("executing", "unknown") for other in others):
            moved = None  # another open action may have moved the balance
        else:
            moved = None if fell is None else fell - sum((Decimal(o.charged or 0) for o in others), Decimal(0))
        if done is not None:
            await self._happened(entry, done, moved)
        else:
            await self._not_seen(entry, action, moved)
        return await self._journal.get(entry.id) or entry

    async def actual(self, entry: Entry, action: Action, done: Done) -> Decimal | None:
        """What was charged: as the answer says, else by the fall of the balance, else None."""
        if not action.spends or done.cost is not None:
            return done.cost if action.spends else Decimal(0)
        try:
            balance = await balance_of(self._sources)
            others = await self._journal.around(entry)
        except PivError:
            return None
        before = json.loads(entry.before or "{}").get("balance")
        price = None if entry.price is None else Decimal(entry.price)
        if balance is None or before is None:
            return price
        fell = Decimal(before) - balance
        # Alone on the account, the fall is the charge. Else only a fall that fits the price tells anything.
        return fell if not others and fell >= 0 else price

    async def _happened(self, entry: Entry, done: Done, moved: Decimal | None) -> None:
        price = None if entry.price is None else Decimal(entry.price)
        charged = done.cost
        if charged is None:
            charged = moved if moved is not None and moved >= 0 else price
        evidence = done.evidence or "the account shows it"
        if moved is not None and moved > 0:
            evidence += f"; the balance fell by {dollars(moved)}"
        _log.info("reconciled", id=entry.id, state="charged", evidence=evidence)
        await self._journal.settle(entry.id, Ending("charged", done, charged, entry.problem, evidence))

    async def _not_seen(self, entry: Entry, action: Action, moved: Decimal | None) -> None:
        price = None if entry.price is None else Decimal(entry.price)
        if (
            moved is not None
            and moved > 0
            and action.spends
            and (moved == price or (price is None and not action.visible))
        ):
            evidence = f"the balance fell by {dollars(moved)}, and nothing else accounts for it"
            _log.info("reconciled", id=entry.id, state="charged", evidence=evidence)
            await self._journal.settle(entry.id, Ending("charged", None, moved, entry.problem, evidence))
            return
        age = time.time() - (entry.settled_at or entry.sent_at or 0.0)
        if moved == 0 or not action.spends:
            believed = age >= GRACE_SECONDS
        else:
            believed = action.visible and age >= LONG_GRACE_SECONDS
        if believed:
            unchanged = ", and the balance is unchanged" if moved == 0 else ""
            evidence = f"{age:.0f} s after the answer was lost the account shows nothing of it{unchanged}"
            _log.info("reconciled", id=entry.id, state="not_charged", evidence=evidence)
            await self._journal.settle(entry.id, Ending("not_charged", problem=entry.problem, evidence=evidence))


def _grace_end(entry: Entry) -> float:
    return (entry.settled_at or entry.sent_at or 0.0) + GRACE_SECONDS
