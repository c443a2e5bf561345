"""Finds out what became of a request whose answer was lost: by what the account shows, and by its balance.

Nothing is ever sent again. Presence settles at once. Absence settles only after a grace, when the request can no longer
be on its way, and only where the balance does not contradict it: money that left the account and may have been this
action's keeps it unknown. What fits two stories is not decided.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal

import structlog

from piv_mcp.errors import PivError
from piv_mcp.spending import actions
from piv_mcp.spending.actions.base import Action, Ambiguous, Done, Rivals, Sources
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.spending.quote import Quote, dollars
from piv_mcp.spending.reconcile.snapshot import Snapshot, balance_fall
from piv_mcp.store.journal import Entry

GRACE_SECONDS = 20.0
"""From the loss of the answer until the absence of an effect is believed, for the time being: see `_look_again`."""

LONG_GRACE_SECONDS = 60.0
"""Likewise where the balance moved, but by less than the action costs, or cannot be compared."""

ABSENT_SECONDS = 3600.0
"""After this the absence of what the API would show speaks alone, whatever the balance did."""

AGAIN_SECONDS = 15.0
"""Between two looks at what stays unknown; twice as long after each, up to `SELDOM_SECONDS`."""

SELDOM_SECONDS = 900.0

_log = structlog.get_logger(__name__)


class Reconciler:
    """Settles unknown entries. `run` does so at start and for as long as any is left."""

    def __init__(self, sources: Sources, journal: Journal) -> None:
        self._sources = sources
        self._clock = sources.clock
        self._journal = journal
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """An outcome was lost just now."""
        self._hurry.set()

    async def run(self) -> None:
        """Until cancelled."""
        pause = AGAIN_SECONDS
        while True:
            self._hurry.clear()
            left = True
            try:
                left = bool(await self.reconcile_all())
            except PivError as error:
                _log.warning("reconciliation interrupted", problem=str(error))
            try:
                async with self._clock.timeout(pause if left else None):
                    await self._hurry.wait()
            except TimeoutError:
                pause = min(2 * pause, SELDOM_SECONDS)
            else:
                pause = AGAIN_SECONDS
                await self._clock.sleep(GRACE_SECONDS)  # the call that lost it has looked already

    async def reconcile_all(self) -> list[Entry]:
        """Look at every entry that is unknown, or in doubt; returns those that stay so."""
        entries = await self._reconcile_each(await self._journal.recover())
        doubtful = [await self._look_again(entry) for entry in await self._journal.doubtful()]
        return [entry for entry in (*entries, *doubtful) if entry.state in ("unknown", "not_charged")]

    async def reconcile_patiently(self, entries: list[Entry], tell: Callable[[float], Awaitable[None]]) -> list[Entry]:
        """Look at these; where only the grace is missing, wait for its end and look again."""
        looked = await self._reconcile_each(entries)
        ends = [end for entry in looked if entry.state == "unknown" and (end := _grace_end(entry)) > self._clock.time()]
        if ends:
            wait = min(max(ends) - self._clock.time(), GRACE_SECONDS) + 0.1
            await tell(wait)
            await self._clock.sleep(wait)
            looked = await self._reconcile_each(looked)
        return looked

    async def _reconcile_each(self, entries: list[Entry]) -> list[Entry]:
        looked = [await self.reconcile(entry) for entry in entries]
        settled = sum(before.state != after.state for before, after in zip(entries, looked, strict=True))
        if settled and any(entry.state == "unknown" for entry in looked):
            # What has been settled accounts for its part of the balance, and of what the account shows.
            looked = [await self.reconcile(entry) for entry in looked]
        return looked

    async def reconcile(self, entry: Entry) -> Entry:
        """Settle the entry if what the account shows allows it; returns it as it then stands."""
        if entry.state != "unknown":
            return entry
        try:
            return await self._reconcile(entry, actions.load(entry.kind, entry.arguments))
        except PivError as error:
            _log.warning("not reconciled yet", id=entry.id, problem=str(error))
        except Exception:  # one entry that cannot be understood must not keep the others unknown
            _log.exception("an entry cannot be reconciled", id=entry.id)
        return entry

    async def _look_again(self, entry: Entry) -> Entry:
        """A server may carry out late what it answered with an error: what was found not charged can still appear."""
        action = actions.load(entry.kind, entry.arguments)
        if not action.spends:
            return entry
        try:
            done, moved = await self._look(entry, action)
        except (_Undecided, Ambiguous, PivError):
            return entry
        if done is not None:
            seen = self._happened(entry, action, done, moved)
            ending = replace(
                seen, evidence=f"it went through late, after it was recorded as not charged: {seen.evidence}"
            )
            if await self._journal.settle(entry.id, ending, only_if=("not_charged",)):
                _log.warning("an action came late", id=entry.id, evidence=ending.evidence)
        return await self._journal.again(entry)

    async def actual(self, entry: Entry, action: Action, done: Done) -> Decimal | None:
        """What was charged: as the answer says, else by the fall of the balance, else as quoted; None if unknown."""
        if not action.spends:
            return Decimal(0)
        if done.cost is not None:
            return done.cost
        try:
            moved, _ = await balance_fall(entry, self._sources)
        except PivError:
            moved = None
        # A balance that has not moved yet tells nothing.
        return moved if moved is not None and moved > 0 else _price(entry)

    async def _reconcile(self, entry: Entry, action: Action) -> Entry:
        clear = True
        try:
            done, moved = await self._look(entry, action)
        except _Undecided:
            return entry
        except Ambiguous:
            done, clear = None, False
            moved, _ = await balance_fall(entry, self._sources)
        if done is None:
            ending = self._not_seen(entry, action, moved, clear=clear)
        else:
            ending = self._happened(entry, action, done, moved)
        if ending is not None and await self._journal.settle(entry.id, ending):
            _log.info("reconciled", id=entry.id, state=ending.state, evidence=ending.evidence)
        return await self._journal.again(entry)

    async def _look(self, entry: Entry, action: Action) -> tuple[Done | None, Decimal | None]:
        """What the account shows of the action, and how far its balance fell.

        Raises:
            Ambiguous: what it shows may be another action's work.
            _Undecided: whose object it is will be known once an action that is executing has its answer.
        """
        made = await self._journal.made()
        moved, others = await balance_fall(entry, self._sources)
        rivals = Rivals(
            made,
            done=_actions(others, "charged"),
            open=_actions(others, "executing", "unknown"),
            unexplained=_actions(await self._journal.unexplained(entry), "charged"),
        )
        done = await action.look(self._sources, Snapshot.of(entry).shown, entry.sent_at or 0.0, rivals)
        if done is not None and done.object_id is not None and _is_contested(entry, others):
            raise _Undecided
        return done, moved

    def _happened(self, entry: Entry, action: Action, done: Done, moved: Decimal | None) -> Ending:
        price = _price(entry)
        evidence = done.evidence or "the account shows it"
        if moved is not None and moved > 0:
            evidence += f"; the balance fell by {dollars(moved)}"
        if not action.spends:
            charged = Decimal(0)
        elif done.cost is not None:
            charged = done.cost
        elif moved is None or moved == price:
            charged = price
        else:
            # A fall that is not the price may hold somebody else's charge, too.
            charged = moved if price is None and moved > 0 else None
        return Ending("charged", done, charged, entry.problem, evidence)

    def _not_seen(self, entry: Entry, action: Action, moved: Decimal | None, *, clear: bool) -> Ending | None:
        """`clear`: what the account shows is certainly not this action's work."""
        price = _price(entry)
        least = price if price is not None else _floor(entry)
        suspicious = action.spends and moved is not None and moved > 0 and moved >= (least or 0)
        if suspicious and clear and not action.visible and price in (None, moved):
            evidence = f"the balance fell by {dollars(moved)}, and nothing else accounts for it"
            return Ending("charged", None, moved, entry.problem, evidence)
        if moved == 0 or not action.spends:
            grace = GRACE_SECONDS
        elif not action.visible or not clear:
            return None
        else:
            grace = ABSENT_SECONDS if suspicious else LONG_GRACE_SECONDS
        age = self._clock.time() - (entry.settled_at or entry.sent_at or 0.0)
        if age < grace:
            return None
        unchanged = ", and the balance is unchanged" if moved == 0 else ""
        evidence = f"{age:.0f} s after the answer was lost the account shows nothing of it{unchanged}"
        return Ending("not_charged", problem=entry.problem, evidence=evidence)


class _Undecided(Exception):
    """It cannot be told yet."""


def _is_contested(entry: Entry, others: list[Entry]) -> bool:
    return any(other.state == "executing" and other.kind == entry.kind for other in others)


def _price(entry: Entry) -> Decimal | None:
    return None if entry.price is None else Decimal(entry.price)


def _floor(entry: Entry) -> Decimal | None:
    return Quote.model_validate_json(entry.quote).price.floor


def _actions(entries: list[Entry], *states: str) -> tuple[Action, ...]:
    return tuple(actions.load(entry.kind, entry.arguments) for entry in entries if entry.state in states)


def _grace_end(entry: Entry) -> float:
    return (entry.settled_at or entry.sent_at or 0.0) + GRACE_SECONDS
