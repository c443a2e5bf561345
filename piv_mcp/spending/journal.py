"""The journal of spending actions. Each state is on disk before the step that it announces begins."""

import json
import secrets
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar

from piv_mcp.spending.actions import load
from piv_mcp.spending.actions.base import Action, Decision, Done
from piv_mcp.spending.errors import FrozenError, TooManyQuestionsError
from piv_mcp.spending.messages import Message
from piv_mcp.spending.policy import over_budget
from piv_mcp.spending.proof import Proof
from piv_mcp.spending.quote import FREEZE_SECONDS, Price, Quote
from piv_mcp.store import Connection, Store, agents, freezes, journal, limits, pending
from piv_mcp.store.connection import Value
from piv_mcp.store.freezes import Freeze
from piv_mcp.store.journal import OBJECT_ID, Entry, State
from piv_mcp.store.limits import Budget, Limit, Obstacle
from piv_mcp.text.times import DAY_SECONDS, SYSTEM_CLOCK, Clock

LATE_EFFECT_SECONDS = 3600.0
"""Seconds after an action was settled as not charged, during which the account is checked again and the budget does not
approve an equal action: a server that answered with an error may still carry the action out."""

EXECUTION_SECONDS = 120.0
"""After this many seconds an execution of another process is presumed dead. A call of the API ends within 30 s."""

NEW_PRICE = "new_price"
"""The field of a stored result that holds the price which kept an approved action from being sent."""

NOT_SENT = "not_sent"
"""The field of a stored result that holds why an approved action was not sent, as a message."""

MOST_QUESTIONS = 20
"""Of one agent that wait for a person's decision: they are to be read, and those of other agents to be found."""

ENDED: tuple[State, ...] = ("charged", "refused", "not_charged")
"""The states of an entry that was sent and whose outcome is known."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended. `reported`: a caller gets this outcome."""

    state: State
    done: Done | None = None
    charged: Decimal | None = None
    problem: str | None = None
    evidence: str | None = None
    reported: bool = False

    @property
    def columns(self) -> dict[str, Value]:
        """The columns of the entry."""
        result = None
        if self.done is not None:
            result = json.dumps({**self.done.result, OBJECT_ID: self.done.object_id}, ensure_ascii=False)
        return {
            "state": self.state,
            "charged": None if self.charged is None else str(self.charged),
            "result": result,
            "problem": self.problem,
            "evidence": self.evidence,
            "reported": int(self.reported),
        }


def _note_begun(connection: Connection, entry_id: str, changed: bool) -> bool:
    """Note what an action has begun, and which numbers the agent has got that asked for it, in the transaction that
    ends its entry: no restart can come between."""
    entry = journal.get(connection, entry_id) if changed else None
    if entry is not None and entry.state == "charged":
        result = json.loads(entry.result or "{}")
        action = load(entry.kind, entry.arguments)
        for row in action.begun(result, result.get(OBJECT_ID)):
            pending.begin(connection, replace(row, since=entry.sent_at or entry.quoted_at))
        for piv_num_id in action.rented(result) if entry.agent is not None else ():
            agents.join_number(connection, entry.agent or "", piv_num_id)
    return changed


def costs_money(entry: Entry) -> bool:
    """Whether the entry's action costs money, now or later."""
    try:
        return load(entry.kind, entry.arguments).costs_money
    except ValueError:  # arguments of another version, which nobody can read
        return True


class Journal:
    """Reads entries and changes their state. `owner` identifies this process in them. `agent` is who asks: an agent
    sees and continues its own entries alone."""

    # Of the whole process, as `owner` is: what one journal executes must not look dead to another beside it.
    _executing: ClassVar[set[str]] = set()

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self.store = store
        self._clock = clock
        self._began = clock.time() - clock.monotonic()
        self._ages: dict[str, tuple[float, float]] = {}
        """Of unsettled entries: how old each was, and when that was (monotonic)."""
        self.owner = store.process
        self.agent: str | None = None

    def of(self, agent: str) -> "Journal":
        """The same journal for an agent."""
        other = copy(self)
        other.agent = agent
        return other

    def _is_shown(self, entry: Entry) -> bool:
        return self.agent is None or entry.agent == self.agent

    # --- time

    def certain_time(self) -> float:
        """The time (seconds since the epoch) that has come for certain: a clock that is set forward frees no budget."""
        return min(self._clock.time(), self._began + self._clock.monotonic())

    def age(self, entry: Entry) -> float:
        """Seconds since the answer to an unsettled entry was lost. Setting the clock forward does not make it older."""
        now = self._clock.monotonic()
        told = self._clock.time() - (entry.settled_at or entry.sent_at or 0.0)
        age, at = self._ages.setdefault(entry.id, (told, now))
        return min(told, age + now - at)

    # --- reading

    async def get(self, entry_id: str) -> Entry | None:
        entry = await self.store.read(journal.get, entry_id)
        return entry if entry is not None and self._is_shown(entry) else None

    async def reload(self, entry: Entry) -> Entry:
        """The entry as it is stored now."""
        return await self.get(entry.id) or entry

    async def entries(self, *, limit: int, states: Sequence[State] = (), since: float = 0.0) -> list[Entry]:
        """Entries quoted since the time `since`, the newest first. Empty `states` mean any."""
        return await self.store.read(journal.newest, limit=limit, states=states, since=since, agent=self.agent)

    async def find_open(self, action: Action) -> Entry | None:
        """The entry of an equal action that is not finished or not reported: a new call continues it."""
        return await self.store.write(journal.find_open, action.fingerprint, self._clock.time(), self.agent)

    async def made(self) -> frozenset[str]:
        """The ids of the objects that entries have created."""
        return await self.store.read(journal.made)

    async def recently_not_charged(self) -> list[Entry]:
        """Entries settled as not charged in the last `LATE_EFFECT_SECONDS`: the account may still show their effect."""
        return await self.store.read(journal.not_charged_since, self.certain_time() - LATE_EFFECT_SECONDS)

    async def earlier(self, entry: Entry) -> list[Entry]:
        """Other entries of the same kind, charged in the hour before the request, whose effect may show only later."""
        sent_at = entry.sent_at or 0.0
        return await self.store.read(journal.charged_between, entry, sent_at - LATE_EFFECT_SECONDS, sent_at)

    async def unsettled(self, action: Action) -> list[Entry]:
        """Entries of the action's kind that were sent and have no known outcome, the newest first."""
        return await self.store.read(journal.unsettled, action.kind)

    async def overcharged(self, action: Action) -> Entry | None:
        """The latest entry of the action's kind for which more was charged than quoted, or an unknown amount."""
        return await self.store.read(journal.overcharged, action.kind)

    async def others_since(self, entry: Entry, since: float) -> bool:
        """Whether any other entry was sent, or settled, since the time `since`."""
        return await self.store.read(journal.sent_or_settled_since, entry.id, since)

    async def left(self, budgets: Sequence[Limit]) -> list[Decimal]:
        """What is left of each limit now, in US dollars."""
        return await self.store.read(limits.all_left, self.certain_time() - DAY_SECONDS, budgets)

    async def waiting(self) -> int:
        """How many entries wait for a person's decision."""
        return await self.store.read(journal.count_waiting, self._clock.time())

    async def freeze(self) -> Freeze | None:
        """The freeze of all that costs money, if a person has ordered one."""
        return await self.store.read(freezes.current)

    async def refuse_frozen(self, action: Action) -> None:
        """Raises `FrozenError` if the action costs money and a person has frozen that."""
        if action.costs_money and (freeze := await self.freeze()) is not None:
            raise FrozenError(freeze)

    # --- changing

    async def propose(self, action: Action, quote: Quote, *, budget: Budget | None) -> Entry:
        """The open entry of an equal action, or a new one. The `budget` may approve it; where one of its limits is in
        the way, the question says which.

        One transaction does all of this, so that two equal calls share one entry, and no two entries reserve the same
        part of the budget.

        Raises:
            FrozenError: it costs money, and a person has frozen that.
            TooManyQuestionsError: the person has to decide `MOST_QUESTIONS` others of this agent first.
        """
        now = self._clock.time()
        amount = quote.price.amount
        entry = Entry(
            id=f"sp_{secrets.token_hex(5)}",
            kind=action.kind,
            area=action.area,
            arguments=action.model_dump_json(),
            fingerprint=action.fingerprint,
            state="quoted",
            quote=quote.model_dump_json(),
            price=None if amount is None else str(amount),
            quoted_at=now,
            expires_at=now + FREEZE_SECONDS,
            agent=self.agent,
        )

        def explained(obstacle: Obstacle) -> Entry:
            has_own = budget is not None and any(limit.counts == "agent" for limit in budget.limits)
            note = over_budget(obstacle, is_shared=has_own)
            return replace(entry, quote=quote.model_copy(update={"notes": [*quote.notes, note]}).model_dump_json())

        def propose(connection: Connection) -> Entry:
            if action.costs_money and (freeze := freezes.current(connection)) is not None:
                known = journal.find_open(connection, action.fingerprint, now, self.agent)
                if known is None or known.state in ("quoted", "approved"):
                    raise FrozenError(freeze)
                return known
            proposed = journal.propose(
                connection,
                entry,
                budget=budget,
                spent_since=self.certain_time() - DAY_SECONDS,
                doubtful_since=self.certain_time() - LATE_EFFECT_SECONDS,
                explained=explained,
            )
            is_asked = self.agent is not None and proposed.id == entry.id and proposed.state == "quoted"
            if is_asked and journal.count_waiting(connection, now, self.agent) > MOST_QUESTIONS:
                raise TooManyQuestionsError(MOST_QUESTIONS)  # which undoes it
            return proposed

        return await self.store.write(propose)

    async def expire(self) -> None:
        """Mark the quotes and approvals whose time is over as expired."""
        await self.store.write(journal.expire, self._clock.time())

    async def decide(
        self,
        entry_id: str,
        decision: Decision,
        *,
        by: str,
        prove: Callable[[Connection, Entry], Proof] | None = None,
    ) -> bool:
        """Record a person's decision on an open quote. Returns false if the quote is decided already or has expired.

        `prove` says who decides, in the same transaction. What it raises undoes the transaction: nobody has decided.

        Raises:
            FrozenError: it would approve what costs money, and a person has frozen that.
        """
        now = self._clock.time()
        columns: dict[str, Value] = {"state": "approved"}
        if decision != "approve":
            columns = {"state": "declined", "settled_at": now, "problem": decision}
        columns |= {"decided_at": now, "decided_by": by}

        def decide(connection: Connection) -> bool:
            entry = journal.get(connection, entry_id)
            if entry is None:
                return False
            freeze = freezes.current(connection) if decision == "approve" else None
            if freeze is not None and costs_money(entry):
                raise FrozenError(freeze)
            if not journal.change(connection, entry_id, columns, only_if=("quoted",), now=now):
                return False
            if prove is not None:
                proof = prove(connection, entry).model_dump_json(exclude_none=True)
                journal.change(connection, entry_id, {"proof": proof}, only_if=("approved", "declined"))
            return True

        decided = await self.store.write(decide)
        if not decided:
            await self.expire()
        return decided

    async def claim(self, entry_id: str, before: str) -> bool:
        """Start the one execution that an approval allows. Returns false if it was started already, if the approval has
        expired, while the outcome of an equal action is unknown, or if it costs money and a person has frozen that."""
        now = self._clock.time()

        def claim(connection: Connection) -> bool:
            entry = journal.get(connection, entry_id)
            if entry is not None and freezes.current(connection) is not None and costs_money(entry):
                freezes.stop(connection, entry_id, now)
                return False
            return journal.claim(connection, entry_id, owner=self.owner, before=before, now=now)

        self._executing.add(entry_id)
        claimed = False
        try:
            claimed = await self.store.write(claim)
        finally:
            if not claimed:
                self.release(entry_id)
        return claimed

    async def withdraw(self, entry_id: str) -> None:
        """Expire an entry that the budget approved and that cannot be executed, which frees its part of the budget."""
        await self.store.write(journal.withdraw, entry_id, self._clock.time())

    async def end_as_price_changed(self, entry_id: str, price: Price | None, reason: Message) -> None:
        """End an approved entry that was not sent: `price` is the price now, None if it cannot be read."""
        result: dict[str, object] = {} if price is None else {NEW_PRICE: price.model_dump(mode="json")}
        result[NOT_SENT] = reason.model_dump()
        columns: dict[str, Value] = {
            "state": "price_changed",
            "settled_at": self._clock.time(),
            "result": json.dumps(result, ensure_ascii=False),
            "problem": reason.text,
        }
        await self.store.write(journal.change, entry_id, columns, only_if=("approved",))

    def release(self, entry_id: str) -> None:
        """Note that this process no longer executes the entry. If its row still says so, `recover` marks it unknown."""
        self._executing.discard(entry_id)

    async def end(self, entry_id: str, ending: Ending) -> bool:
        """Store how an execution of this process ended. A known outcome replaces `not_charged`, which another process
        may have settled meanwhile."""
        only_if: tuple[State, ...] = ("executing", "unknown")
        if ending.state != "unknown":
            only_if = (*only_if, "not_charged")
            self._ages.pop(entry_id, None)
        else:
            self._ages[entry_id] = (0.0, self._clock.monotonic())
        columns = {"settled_at": self._clock.time(), **ending.columns}

        def end(connection: Connection) -> bool:
            return _note_begun(connection, entry_id, journal.change(connection, entry_id, columns, only_if=only_if))

        return await self.store.write(end)

    async def settle(self, entry_id: str, ending: Ending, *, only_if: Sequence[State] = ("unknown",)) -> bool:
        """Settle an unknown outcome by what the account shows. Returns false, and changes nothing, if another entry has
        created the same object."""
        object_id = None if ending.done is None else ending.done.object_id
        columns = {"settled_at": self._clock.time(), **ending.columns}
        self._ages.pop(entry_id, None)

        def settle(connection: Connection) -> bool:
            settled = journal.settle(connection, entry_id, columns, object_id=object_id, only_if=only_if)
            return _note_begun(connection, entry_id, settled)

        return await self.store.write(settle)

    async def report(self, entry_id: str) -> None:
        """Note that a caller got the outcome, so that the next equal call is a new action."""
        await self.store.write(journal.change, entry_id, {"reported": 1}, only_if=ENDED)

    async def doubtful(self) -> frozenset[str]:
        """The ids of all entries that `Reconciler.reconcile_all` would look at."""
        since = self.certain_time() - LATE_EFFECT_SECONDS
        return await self.store.read(journal.doubtful, self._is_running, since)

    async def recover(self) -> list[Entry]:
        """Mark executing entries whose process has ended as unknown. Returns all unknown entries that are shown, the
        oldest first."""
        unknown = await self.store.write(journal.recover, self._is_running, self._clock.time())
        return list(filter(self._is_shown, unknown))

    def _is_running(self, connection: Connection, entry: Entry) -> bool:
        """Whether a process still waits for the API's answer to this entry's request."""
        if entry.owner == self.owner:
            return entry.id in self._executing
        overdue = self.certain_time() - (entry.sent_at or 0) > EXECUTION_SECONDS
        return entry.owner is not None and not overdue and not connection.is_gone(entry.owner)
