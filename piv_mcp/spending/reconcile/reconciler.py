"""Finds the outcome of requests whose answer was lost, by what the account shows and by its balance.

Nothing is ever sent again. If the effect is visible, settle the entry as charged now. If not, settle it as not charged
after a grace period, when the request can no longer be on its way, and only if the balance does not contradict: while a
fall of the balance may be this action's charge, the entry stays unknown. Ambiguous cases stay unknown, too.

The balance alone settles nothing: a charge and a credit at the same time leave it as it was.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal

import structlog

from piv_mcp.errors import PivError
from piv_mcp.spending import actions
from piv_mcp.spending.actions.base import Action, Ambiguous, Done, OtherActions, Sources
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.spending.messages import dollars
from piv_mcp.spending.quote import Price, quote_of
from piv_mcp.spending.reconcile.snapshot import Snapshot, balance_fall
from piv_mcp.store.journal import Entry

GRACE_SECONDS = 20.0
"""Seconds from the loss of the answer until an entry without a visible effect is settled as not charged. The account is
checked again later: see `_check_late_effect`."""

LONG_GRACE_SECONDS = 60.0
"""The grace period if the balance fell by less than the action costs, or if the fall is unknown."""

ABSENT_SECONDS = 3600.0
"""The grace period if the balance fell enough to pay for the action, or if the account shows the action only late. Then
the API must show no effect for this long."""

AGAIN_SECONDS = 15.0
"""Seconds between two checks of entries that stay unknown. Doubled after each check, up to `MAX_AGAIN_SECONDS`."""

MAX_AGAIN_SECONDS = 900.0

_log = structlog.get_logger(__name__)


class Reconciler:
    """Settles unknown entries."""

    def __init__(self, sources: Sources, journal: Journal) -> None:
        self._sources = sources
        self._clock = sources.clock
        self._journal = journal
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Make `run` check soon: an answer was lost just now."""
        self._wake.set()

    async def run(self) -> None:
        """Check unknown entries now, and again for as long as any is left or after `wake`, until cancelled."""
        pause = AGAIN_SECONDS
        while True:
            self._wake.clear()
            left = True
            try:
                left = bool(await self.reconcile_all())
            except PivError as error:
                _log.warning("reconciliation interrupted", problem=str(error))
            try:
                async with self._clock.timeout(pause if left else None):
                    await self._wake.wait()
            except TimeoutError:
                pause = min(2 * pause, MAX_AGAIN_SECONDS)
            else:
                pause = AGAIN_SECONDS
                await self._clock.sleep(GRACE_SECONDS)  # the call that lost the answer has just checked the account

    async def reconcile_all(self) -> list[Entry]:
        """Check every unknown entry, and those settled as not charged lately. Returns those that are still so."""
        entries = await self._reconcile_each(await self._journal.recover())
        doubtful = [await self._check_late_effect(entry) for entry in await self._journal.recently_not_charged()]
        return [entry for entry in (*entries, *doubtful) if entry.state in ("unknown", "not_charged")]

    async def reconcile_patiently(
        self, entries: list[Entry], announce_wait: Callable[[float], Awaitable[None]]
    ) -> list[Entry]:
        """Reconcile these entries. If a grace period is not over, call `announce_wait` with the seconds to wait, wait
        for its end, and reconcile them again."""
        checked = await self._reconcile_each(entries)
        unknown = [entry for entry in checked if entry.state == "unknown"]
        left = max((GRACE_SECONDS - self._journal.age(entry) for entry in unknown), default=0.0)
        if left > 0:
            wait = min(left, GRACE_SECONDS) + 0.1
            await announce_wait(wait)
            await self._clock.sleep(wait)
            checked = await self._reconcile_each(checked)
        return checked

    async def _reconcile_each(self, entries: list[Entry]) -> list[Entry]:
        checked = [await self.reconcile(entry) for entry in entries]
        settled = sum(before.state != after.state for before, after in zip(entries, checked, strict=True))
        if settled and any(entry.state == "unknown" for entry in checked):
            # The entries settled now explain a part of the balance and of what the account shows. That may be enough
            # to settle others.
            checked = [await self.reconcile(entry) for entry in checked]
        return checked

    async def reconcile(self, entry: Entry) -> Entry:
        """Settle the entry if what the account shows allows that. Returns the entry as it is stored then."""
        if entry.state != "unknown":
            return entry
        try:
            return await self._reconcile(entry, actions.load(entry.kind, entry.arguments))
        except PivError as error:
            _log.warning("an entry could not be reconciled yet", entry_id=entry.id, problem=str(error))
        except Exception:  # an error with one entry must not keep the others from being settled
            _log.exception("an entry cannot be reconciled", entry_id=entry.id)
        return entry

    async def _check_late_effect(self, entry: Entry) -> Entry:
        """Settle an entry as charged that was settled as not charged before, if its effect is visible now. A server may
        carry out an action late, after it answered with an error."""
        action = actions.load(entry.kind, entry.arguments)
        if not action.spends:
            return entry
        try:
            done, fall = await self._look(entry, action)
        except (_OwnerNotKnownYet, Ambiguous, PivError):
            return entry
        if done is not None:
            seen = self._charged_ending(entry, action, done, fall)
            ending = replace(seen, evidence=f"it happened late, after it was recorded as not charged: {seen.evidence}")
            if await self._journal.settle(entry.id, ending, only_if=("not_charged",)):
                _log.warning("an action happened late", entry_id=entry.id, evidence=ending.evidence)
        return await self._journal.reload(entry)

    async def charged_amount(self, entry: Entry, action: Action, done: Done) -> Decimal | None:
        """What was charged, in US dollars: the cost in the answer, else the fall of the balance, else the quoted price;
        None if unknown."""
        if not action.spends:
            return Decimal(0)
        if (cost := _stated_cost(done)) is not None:
            return cost
        try:
            fall, _ = await balance_fall(entry, self._sources, may_share=True)
        except PivError:
            fall = None
        price = _price(entry)
        # A fall that is too small does not mean a smaller charge: a credit may have come at the same time, or piv.day
        # may change the balance a moment later.
        return fall if fall is not None and fall > 0 and fall >= (price.least or 0) else price.amount

    async def _reconcile(self, entry: Entry, action: Action) -> Entry:
        is_unambiguous = True
        try:
            done, fall = await self._look(entry, action)
        except _OwnerNotKnownYet:
            return entry
        except Ambiguous:
            done, is_unambiguous = None, False
            fall, _ = await balance_fall(entry, self._sources)
        if done is None:
            ending = self._ending_without_effect(entry, action, fall, is_unambiguous=is_unambiguous)
        else:
            ending = self._charged_ending(entry, action, done, fall)
        if ending is not None and await self._journal.settle(entry.id, ending):
            _log.info("reconciled", entry_id=entry.id, state=ending.state, evidence=ending.evidence)
        return await self._journal.reload(entry)

    async def _look(self, entry: Entry, action: Action) -> tuple[Done | None, Decimal | None]:
        """The effect of the action that the account shows, and how far the balance fell.

        Raises:
            Ambiguous: another action could also explain the effect.
            _OwnerNotKnownYet: another action that is still executing may have created the object.
        """
        made = await self._journal.made()
        fall, others = await balance_fall(entry, self._sources)
        other_actions = OtherActions(
            made,
            done=_actions(others, "charged"),
            open=_actions(others, "executing", "unknown"),
            earlier=_actions(await self._journal.earlier(entry), "charged"),
        )
        done = await action.look(self._sources, Snapshot.of(entry).shown, entry.sent_at or 0.0, other_actions)
        if done is not None and done.object_id is not None and _is_contested(entry, others):
            raise _OwnerNotKnownYet
        return done, fall

    def _charged_ending(self, entry: Entry, action: Action, done: Done, fall: Decimal | None) -> Ending:
        """The ending of an action whose effect the account shows."""
        price = _price(entry)
        evidence = done.evidence or "the account shows it"
        if fall is not None and fall > 0:
            evidence += f"; the balance fell by {dollars(fall)}"
        if not action.spends:
            charged = Decimal(0)
        elif (cost := _stated_cost(done)) is not None:
            charged = cost
        elif fall is None or fall == price.amount:
            charged = price.amount
        else:
            # A fall that differs from the price may include the charge of another client of the account, or a credit.
            unpriced = price.amount is None and fall > 0 and fall >= (price.floor or 0)
            charged = fall if unpriced else None
        return Ending("charged", done, charged, entry.problem, evidence)

    def _ending_without_effect(
        self, entry: Entry, action: Action, fall: Decimal | None, *, is_unambiguous: bool
    ) -> Ending | None:
        """The ending of an action whose effect the account does not show; None while it cannot be settled.

        `is_unambiguous`: what the account shows is certainly not the effect of this action.
        """
        grace = _grace(action, _price(entry), fall, is_unambiguous=is_unambiguous)
        age = self._journal.age(entry)
        if grace is None or age < grace:
            return None
        if action.shows == "never":
            evidence = "the API does not show whether it happened"
        else:
            unchanged = ", and the balance is unchanged" if fall == 0 else ""
            evidence = f"{age:.0f} s after the answer was lost the account does not show the action{unchanged}"
        return Ending("not_charged", problem=entry.problem, evidence=evidence)


def _grace(action: Action, price: Price, fall: Decimal | None, *, is_unambiguous: bool) -> float | None:
    """Seconds after which an action without a visible effect is settled as not charged; None if never."""
    if not action.spends:
        return GRACE_SECONDS
    if action.shows == "never":
        return None
    if fall == 0 and is_unambiguous:
        return GRACE_SECONDS if action.shows == "soon" else ABSENT_SECONDS
    if action.shows == "late" or not is_unambiguous:
        return None
    may_have_paid = fall is not None and fall > 0 and fall >= (price.least or 0)
    return ABSENT_SECONDS if may_have_paid else LONG_GRACE_SECONDS


class _OwnerNotKnownYet(Exception):
    """Another action that is still executing may have created the object that was found."""


def _is_contested(entry: Entry, others: list[Entry]) -> bool:
    return any(other.state == "executing" and other.kind == entry.kind for other in others)


def _price(entry: Entry) -> Price:
    return quote_of(entry).price


def _stated_cost(done: Done) -> Decimal | None:
    """The cost in the answer; one that is not positive says nothing."""
    return done.cost if done.cost is not None and done.cost > 0 else None


def _actions(entries: list[Entry], *states: str) -> tuple[Action, ...]:
    return tuple(actions.load(entry.kind, entry.arguments) for entry in entries if entry.state in states)
