"""The journal: each state of a spending action is on disk before the step that it stands for."""

import json
import os
import secrets
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from piv_mcp.spending.actions.base import Action, Decision, Done
from piv_mcp.spending.actions.evidence import EARLIER_SECONDS
from piv_mcp.spending.policy import DAY_SECONDS
from piv_mcp.spending.quote import FREEZE_SECONDS, Quote
from piv_mcp.store import Store, events, journal
from piv_mcp.store.journal import Entry, State

OBJECT_ID = "object_id"
"""Beside the API's answer in a stored result: what the action made."""

DOUBT_SECONDS = 3600.0
"""For so long after an action was found not charged the account is looked at again, and no budget repeats the action: a
server that answered with an error may have carried it out late."""

LEASE_SECONDS = 120.0
"""No execution lasts longer (a call of the API ends within 30 s): after that its process is taken for dead."""

ENDED: tuple[State, ...] = ("charged", "refused", "not_charged")
"""Known outcomes of what was sent."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended. `reported`: whoever waited for it was told."""

    state: State
    done: Done | None = None
    charged: Decimal | None = None
    problem: str | None = None
    evidence: str | None = None
    reported: bool = False


class Journal:
    """Asynchronous, typed access to the entries; `owner` names this process in them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.owner = _this_process()
        self._executing: set[str] = set()

    async def propose(self, action: Action, quote: Quote, *, budget: Decimal | None, daily_budget: Decimal) -> Entry:
        """The entry for this action: the one that is open already, or a new one.

        In one transaction, so that of two equal calls one proposes and the other finds; and so that the budget, if
        `budget` dollars of it are asked for, is reserved before anything else can take them.
        """
        now = time.time()
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

        def job(connection: sqlite3.Connection) -> Entry:
            journal.expire(connection, now)
            blocking = _blocking(connection, entry.fingerprint)
            if blocking is not None:
                return blocking
            shared = _shared(connection, entry.fingerprint)
            if shared is not None and shared.state == "approved":
                return shared  # a person has said yes to it: that comes before the budget, and is good for one
            if budget is not None and not _doubtful(connection, entry.fingerprint, now):
                taken = journal.reserved_by_budget(connection, now - DAY_SECONDS)
                if taken + budget <= daily_budget:
                    return _insert(connection, entry, state="approved", decided_at=now, decided_by="budget")
            return shared or _insert(connection, entry)

        return await self._store.write(job)

    async def standing(self, action: Action) -> Entry | None:
        """The entry that a call for this action meets, before anything is quoted."""
        now = time.time()

        def job(connection: sqlite3.Connection) -> Entry | None:
            journal.expire(connection, now)
            return _blocking(connection, action.fingerprint) or _shared(connection, action.fingerprint)

        return await self._store.write(job)

    async def store_id(self) -> str:
        """Names the store: two processes with the same one share their approvals."""
        return await self._store.read(partial(events.fact, name="store:id")) or ""

    async def get(self, id_: str) -> Entry | None:
        return await self._store.read(partial(journal.get, id_=id_))

    async def again(self, entry: Entry) -> Entry:
        """The entry as it stands now."""
        return await self.get(entry.id) or entry

    async def entries(self, *, limit: int, states: Sequence[State] = (), since: float = 0.0) -> list[Entry]:
        """The newest first."""
        kinds = f"state IN ({', '.join('?' * len(states))}) AND " if states else ""
        return await self._store.read(
            partial(
                journal.select,
                condition=f"{kinds}quoted_at >= ? ORDER BY seq DESC LIMIT ?",
                values=(*states, since, limit),
            )
        )

    async def expire(self) -> None:
        await self._store.write(partial(journal.expire, now=time.time()))

    async def decide(self, id_: str, decision: Decision, *, by: str) -> bool:
        """A person's word on a quote that is still open; the first word counts. Says whether it was the first."""
        now = time.time()
        columns: dict[str, Any] = {"state": "approved"}
        if decision != "approve":
            columns = {"state": "declined", "settled_at": now, "problem": decision}
        decided = await self._change(id_, ("quoted",), now=now, decided_at=now, decided_by=by, **columns)
        if not decided:
            await self.expire()
        return decided

    async def claim(self, id_: str, before: str) -> bool:
        """Take the one execution that an approval is good for; not while the outcome of an equal action is unknown."""
        now = time.time()

        def job(connection: sqlite3.Connection) -> bool:
            entry = journal.get(connection, id_)
            if entry is None or _unknown(connection, entry.fingerprint):
                return False
            return journal.change(
                connection,
                id_,
                only_if=("approved",),
                now=now,
                state="executing",
                owner=self.owner,
                before=before,
                sent_at=now,
            )

        self._executing.add(id_)
        taken = False
        try:
            taken = await self._store.write(job)
        finally:
            if not taken:
                self.release(id_)
        return taken

    async def withdraw(self, id_: str) -> None:
        """The budget approved it, and it cannot be begun: what was reserved is free again."""

        def job(connection: sqlite3.Connection) -> None:
            entry = journal.get(connection, id_)
            if entry is not None and entry.decided_by == "budget":
                journal.change(connection, id_, only_if=("approved",), state="expired", settled_at=time.time())

        await self._store.write(job)

    def release(self, id_: str) -> None:
        """This process is done with it: if the journal still says that it is executing, nobody knows how it ended."""
        self._executing.discard(id_)

    async def end(self, id_: str, ending: Ending) -> bool:
        """How its own execution ended, or that nobody knows. Knowledge overrules what was settled meanwhile."""
        only_if: tuple[State, ...] = ("executing", "unknown")
        if ending.state != "unknown":
            only_if = (*only_if, "not_charged")
        return await self._change(id_, only_if, settled_at=time.time(), **_columns(ending))

    async def settle(self, id_: str, ending: Ending, *, only_if: Sequence[State] = ("unknown",)) -> bool:
        """Settle an unknown outcome by what the account showed; not if another entry has made the same object."""
        columns, object_id = _columns(ending), None if ending.done is None else ending.done.object_id

        def job(connection: sqlite3.Connection) -> bool:
            if object_id is not None and object_id in _made(connection):
                return False
            return journal.change(connection, id_, only_if=only_if, settled_at=time.time(), **columns)

        return await self._store.write(job)

    async def report(self, id_: str) -> None:
        """Somebody was told how it ended: the next equal call is a new action."""
        await self._change(id_, ENDED, reported=1)

    async def recover(self) -> list[Entry]:
        """Executions whose process is gone become unknown. Returns all unknown entries, the oldest first."""
        now = time.time()

        def job(connection: sqlite3.Connection) -> list[Entry]:
            for entry in journal.select(connection, "state = 'executing'"):
                if not self._runs(entry, now):
                    journal.change(
                        connection,
                        entry.id,
                        only_if=("executing",),
                        state="unknown",
                        settled_at=now,
                        problem="the process that sent it ended before the answer came",
                    )
            return journal.select(connection, "state = 'unknown' ORDER BY seq")

        return await self._store.write(job)

    async def doubtful(self) -> list[Entry]:
        """Entries that were found not charged so lately that the account may yet show them."""
        since = time.time() - DOUBT_SECONDS
        return await self._store.read(
            partial(journal.select, condition="state = 'not_charged' AND settled_at > ?", values=(since,))
        )

    async def made(self) -> frozenset[str]:
        """Objects that entries have made: no other entry can have made them."""
        return await self._store.read(_made)

    async def around(self, entry: Entry, since: float) -> list[Entry]:
        """Other entries that were executing or settled since then: they moved the balance, too."""
        return await self._store.read(
            partial(
                journal.select,
                condition="id <> ? AND sent_at IS NOT NULL AND (state IN ('executing', 'unknown') OR settled_at >= ?)",
                values=(entry.id, since),
            )
        )

    async def untold(self, entry: Entry) -> list[Entry]:
        """Other entries of its kind, charged since an hour before, that no event has settled or refunded."""
        rows = await self._store.read(
            partial(
                journal.select,
                condition="kind = ? AND id <> ? AND state = 'charged' AND settled_at > ? AND refunded_by IS NULL",
                values=(entry.kind, entry.id, (entry.sent_at or 0.0) - EARLIER_SECONDS),
            )
        )
        return [row for row in rows if not (made_by(row) or "").startswith("event:")]

    async def reserved(self) -> Decimal:
        """What the budget has approved in the last 24 hours."""
        return await self._store.read(partial(journal.reserved_by_budget, since=time.time() - DAY_SECONDS))

    def _runs(self, entry: Entry, now: float) -> bool:
        """Whether somebody still waits for the answer of this execution."""
        if entry.owner == self.owner:
            return entry.id in self._executing
        return _alive(entry.owner) and now - (entry.sent_at or 0) <= LEASE_SECONDS

    async def _change(self, id_: str, only_if: Sequence[State], *, now: float | None = None, **columns: object) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            return journal.change(connection, id_, only_if=only_if, now=now, **columns)

        return await self._store.write(job)


def _unknown(connection: sqlite3.Connection, fingerprint: str) -> bool:
    return bool(journal.select(connection, "fingerprint = ? AND state = 'unknown' LIMIT 1", (fingerprint,)))


def _blocking(connection: sqlite3.Connection, fingerprint: str) -> Entry | None:
    """An equal action whose outcome is unknown, or became known since and nobody has heard of it."""
    rows = journal.select(
        connection,
        "fingerprint = ? AND (state = 'unknown' OR (reported = 0 AND state IN ('charged', 'not_charged', 'refused')))"
        " ORDER BY seq DESC LIMIT 1",
        (fingerprint,),
    )
    return rows[0] if rows else None


def _doubtful(connection: sqlite3.Connection, fingerprint: str, now: float) -> bool:
    """An equal action was sent a while ago, and is not seen so far: a person decides whether to send it again."""
    condition = "fingerprint = ? AND state = 'not_charged' AND settled_at > ? LIMIT 1"
    return bool(journal.select(connection, condition, (fingerprint, now - DOUBT_SECONDS)))


def _shared(connection: sqlite3.Connection, fingerprint: str) -> Entry | None:
    """An equal action that a person is being asked about, or whose approval is being carried out."""
    rows = journal.select(
        connection,
        "fingerprint = ? AND state IN ('quoted', 'approved', 'executing') AND coalesce(decided_by, '') <> 'budget'"
        " ORDER BY seq DESC LIMIT 1",
        (fingerprint,),
    )
    return rows[0] if rows else None


def _columns(ending: Ending) -> dict[str, Any]:
    done, charged = ending.done, ending.charged
    return {
        "state": ending.state,
        "charged": None if charged is None else str(charged),
        "result": None if done is None else json.dumps({**done.result, OBJECT_ID: done.object_id}, ensure_ascii=False),
        "problem": ending.problem,
        "evidence": ending.evidence,
        "reported": int(ending.reported),
    }


def _made(connection: sqlite3.Connection) -> frozenset[str]:
    """The objects that entries have made, and the events that told of their refunds."""
    entries = journal.select(connection, "result IS NOT NULL ORDER BY seq DESC LIMIT 500")
    made = {made for entry in entries if (made := made_by(entry)) is not None}
    return frozenset(made | {f"event:{entry.refunded_by}" for entry in entries if entry.refunded_by is not None})


def made_by(entry: Entry) -> str | None:
    """The id of what the action made, if it is known."""
    object_id = json.loads(entry.result or "{}").get(OBJECT_ID)
    return object_id if isinstance(object_id, str) else None


def _insert(connection: sqlite3.Connection, entry: Entry, **columns: Any) -> Entry:
    entry = replace(entry, **columns)
    journal.insert(connection, entry)
    return entry


def _this_process() -> str:
    return f"{os.getpid()}:{_started(os.getpid())}"


def _alive(owner: str | None) -> bool:
    """Whether the process still runs. On Windows there is no harmless way to ask: the lease tells."""
    pid, _, started = (owner or "").partition(":")
    if not pid.isdigit():
        return False
    if sys.platform == "win32":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return started == _started(int(pid))


def _started(pid: int) -> str:
    """When the process began, where the system tells: a later process can have the same number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
