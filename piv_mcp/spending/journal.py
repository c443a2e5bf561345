"""The journal: each state of a spending action is on disk before the step that it stands for."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from piv_mcp.spending.actions.base import Action, Decision, Done
from piv_mcp.spending.actions.evidence import EARLIER_SECONDS
from piv_mcp.spending.quote import FREEZE_SECONDS, Quote
from piv_mcp.store import Store, journal, leases
from piv_mcp.store.connection import Value
from piv_mcp.store.journal import OBJECT_ID, Entry, State
from piv_mcp.text.times import DAY_SECONDS, SYSTEM_CLOCK, Clock

DOUBT_SECONDS = 3600.0
"""For so long after an action was found not charged the account is looked at again, and no budget repeats the action: a
server that answered with an error may have carried it out late."""

EXECUTION_SECONDS = 120.0
"""No execution lasts longer (a call of the API ends within 30 s): after that its process is taken for dead."""

ENDED: tuple[State, ...] = ("charged", "refused", "not_charged")
"""Known outcomes of what was sent."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended. `reported`: the caller that waited for it was told."""

    state: State
    done: Done | None = None
    charged: Decimal | None = None
    problem: str | None = None
    evidence: str | None = None
    reported: bool = False

    @property
    def columns(self) -> dict[str, Value]:
        """As the entry keeps it."""
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


class Journal:
    """The entries and their changes of state. `owner` names this process in them."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self.store = store
        self._clock = clock
        self.owner = leases.this_process()
        self._executing: set[str] = set()

    # --- reading

    async def get(self, entry_id: str) -> Entry | None:
        return await self.store.read(journal.get, entry_id)

    async def again(self, entry: Entry) -> Entry:
        """The entry as it stands now."""
        return await self.get(entry.id) or entry

    async def entries(self, *, limit: int, states: Sequence[State] = (), since: float = 0.0) -> list[Entry]:
        """The newest first."""
        return await self.store.read(journal.newest, limit=limit, states=states, since=since)

    async def standing(self, action: Action) -> Entry | None:
        """The entry that a call for this action meets, before anything is quoted."""
        return await self.store.write(journal.standing, action.fingerprint, self._clock.time())

    async def made(self) -> frozenset[str]:
        """Objects that entries have made: no other entry can have made them."""
        return await self.store.read(journal.made)

    async def doubtful(self) -> list[Entry]:
        """Entries that were found not charged so lately that the account may yet show them."""
        return await self.store.read(journal.not_charged_since, self._clock.time() - DOUBT_SECONDS)

    async def unexplained(self, entry: Entry) -> list[Entry]:
        """Other entries of its kind, charged since an hour before, that no event has settled or refunded."""
        return await self.store.read(journal.unexplained, entry, (entry.sent_at or 0.0) - EARLIER_SECONDS)

    async def reserved(self) -> Decimal:
        """What the budget has approved in the last 24 hours."""
        return await self.store.read(journal.reserved_by_budget, self._clock.time() - DAY_SECONDS)

    # --- changing

    async def propose(self, action: Action, quote: Quote, *, budget: Decimal | None, daily_budget: Decimal) -> Entry:
        """The entry for this action: the one that is open already, or a new one.

        In one transaction, so that of two equal calls one proposes and the other finds; and so that the budget, if
        `budget` dollars of it are asked for, is reserved before anything else can take them.
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
        )
        return await self.store.write(
            journal.propose,
            entry,
            budget=budget,
            daily_budget=daily_budget,
            spent_since=now - DAY_SECONDS,
            doubtful_since=now - DOUBT_SECONDS,
        )

    async def expire(self) -> None:
        """End the quotes and approvals whose time is over."""
        await self.store.write(journal.expire, self._clock.time())

    async def decide(self, entry_id: str, decision: Decision, *, by: str) -> bool:
        """A person's word on a quote that is still open; the first word counts. Says whether it was the first."""
        now = self._clock.time()
        columns: dict[str, Value] = {"state": "approved"}
        if decision != "approve":
            columns = {"state": "declined", "settled_at": now, "problem": decision}
        columns |= {"decided_at": now, "decided_by": by}
        decided = await self.store.write(journal.change, entry_id, columns, only_if=("quoted",), now=now)
        if not decided:
            await self.expire()
        return decided

    async def claim(self, entry_id: str, before: str) -> bool:
        """Take the one execution that an approval is good for; not while the outcome of an equal action is unknown."""
        self._executing.add(entry_id)
        taken = False
        try:
            taken = await self.store.write(
                journal.claim, entry_id, owner=self.owner, before=before, now=self._clock.time()
            )
        finally:
            if not taken:
                self.release(entry_id)
        return taken

    async def withdraw(self, entry_id: str) -> None:
        """The budget approved an entry that cannot be begun: what was reserved is free again."""
        await self.store.write(journal.withdraw, entry_id, self._clock.time())

    def release(self, entry_id: str) -> None:
        """This process no longer executes the entry: if its row still says so, nobody knows how it ended."""
        self._executing.discard(entry_id)

    async def end(self, entry_id: str, ending: Ending) -> bool:
        """How this process's execution ended, or that nobody knows. Knowledge overrules what was settled meanwhile."""
        only_if: tuple[State, ...] = ("executing", "unknown")
        if ending.state != "unknown":
            only_if = (*only_if, "not_charged")
        columns = {"settled_at": self._clock.time(), **ending.columns}
        return await self.store.write(journal.change, entry_id, columns, only_if=only_if)

    async def settle(self, entry_id: str, ending: Ending, *, only_if: Sequence[State] = ("unknown",)) -> bool:
        """Settle an unknown outcome by what the account showed; not if another entry has made the same object."""
        object_id = None if ending.done is None else ending.done.object_id
        columns = {"settled_at": self._clock.time(), **ending.columns}
        return await self.store.write(journal.settle, entry_id, columns, object_id=object_id, only_if=only_if)

    async def report(self, entry_id: str) -> None:
        """Somebody was told how it ended: the next equal call is a new action."""
        await self.store.write(journal.change, entry_id, {"reported": 1}, only_if=ENDED)

    async def recover(self) -> list[Entry]:
        """Executions whose process is gone become unknown. Returns all unknown entries, the oldest first."""
        return await self.store.write(journal.recover, self._runs, self._clock.time())

    def _runs(self, entry: Entry) -> bool:
        """Whether a process still waits for the answer of this execution."""
        if entry.owner == self.owner:
            return entry.id in self._executing
        late = self._clock.time() - (entry.sent_at or 0) > EXECUTION_SECONDS
        return entry.owner is not None and not late and not leases.is_gone(entry.owner)
