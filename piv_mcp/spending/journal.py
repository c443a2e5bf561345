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

from piv_mcp.spending.action import Action, Decision, Done
from piv_mcp.spending.policy import DAY_SECONDS
from piv_mcp.spending.quote import FREEZE_SECONDS, Quote
from piv_mcp.store import Store, events, journal
from piv_mcp.store.journal import Entry, State

OBJECT_ID = "object_id"
"""Beside the API's answer in a stored result: what the action made."""

LEASE_SECONDS = 120.0
"""No execution lasts longer (a call of the API ends within 30 s): after that its process is taken for dead."""


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
            if budget is not None:
                taken = journal.reserved_by_budget(connection, now - DAY_SECONDS)
                if taken + budget <= daily_budget:
                    return _insert(connection, entry, state="approved", decided_at=now, decided_by="budget")
            return _shared(connection, entry.fingerprint) or _insert(connection, entry)

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
        """Take the one execution that an approval is good for."""
        now = time.time()
        return await self._change(
            id_, ("approved",), now=now, state="executing", owner=self.owner, before=before, sent_at=now
        )

    async def settle(self, id_: str, ending: Ending) -> bool:
        """How it ended, or that nobody knows."""
        done, charged = ending.done, ending.charged
        result = None if done is None else json.dumps({**done.result, OBJECT_ID: done.object_id}, ensure_ascii=False)
        return await self._change(
            id_,
            ("executing", "unknown"),
            state=ending.state,
            settled_at=time.time(),
            charged=None if charged is None else str(charged),
            result=result,
            problem=ending.problem,
            evidence=ending.evidence,
            reported=int(ending.reported),
        )

    async def report(self, id_: str) -> None:
        """Somebody was told how it ended: the next equal call is a new action."""
        await self._change(id_, ("charged", "refused", "not_charged"), reported=1)

    async def recover(self) -> list[Entry]:
        """Executions whose process is gone become unknown. Returns all unknown entries, the oldest first."""
        now = time.time()

        def job(connection: sqlite3.Connection) -> list[Entry]:
            for entry in journal.select(connection, "state = 'executing'"):
                if entry.owner != self.owner and (
                    not _alive(entry.owner) or now - (entry.sent_at or 0) > LEASE_SECONDS
                ):
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

    async def claimed(self) -> frozenset[str]:
        """Objects that entries have made: no other entry can have made them."""
        rows = await self._store.read(
            partial(journal.select, condition="result IS NOT NULL ORDER BY seq DESC LIMIT 500")
        )
        ids = (json.loads(entry.result or "{}").get(OBJECT_ID) for entry in rows)
        return frozenset(id_ for id_ in ids if isinstance(id_, str))

    async def around(self, entry: Entry) -> list[Entry]:
        """Other entries that were executing or settled since `entry` was sent: they moved the balance, too."""
        return await self._store.read(
            partial(
                journal.select,
                condition="id <> ? AND sent_at IS NOT NULL AND (state IN ('executing', 'unknown') OR settled_at >= ?)",
                values=(entry.id, entry.sent_at or 0.0),
            )
        )

    async def reserved(self) -> Decimal:
        """What the budget has approved in the last 24 hours."""
        return await self._store.read(partial(journal.reserved_by_budget, since=time.time() - DAY_SECONDS))

    async def _change(self, id_: str, only_if: Sequence[State], *, now: float | None = None, **columns: object) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            return journal.change(connection, id_, only_if=only_if, now=now, **columns)

        return await self._store.write(job)


def _blocking(connection: sqlite3.Connection, fingerprint: str) -> Entry | None:
    """An equal action whose outcome is unknown, or became known since and nobody has heard of it."""
    rows = journal.select(
        connection,
        "fingerprint = ? AND (state = 'unknown' OR (reported = 0 AND state IN ('charged', 'not_charged', 'refused')))"
        " ORDER BY seq DESC LIMIT 1",
        (fingerprint,),
    )
    return rows[0] if rows else None


def _shared(connection: sqlite3.Connection, fingerprint: str) -> Entry | None:
    """An equal action that a person is being asked about, or whose approval is being carried out."""
    rows = journal.select(
        connection,
        "fingerprint = ? AND state IN ('quoted', 'approved', 'executing') AND coalesce(decided_by, '') <> 'budget'"
        " ORDER BY seq DESC LIMIT 1",
        (fingerprint,),
    )
    return rows[0] if rows else None


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
