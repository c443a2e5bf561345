"""The SQL of freezes: while there is one, nothing is claimed that costs money now or later.

A freeze is of one account, or of the whole store, whatever accounts it has now or later.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Literal

from piv_mcp.store import accounts, facts, journal
from piv_mcp.store.connection import Connection
from piv_mcp.store.journal import Entry, State
from piv_mcp.store.rows import is_time

Place = Literal["terminal", "console"]

_FREEZE = "spending:frozen"
"""The fact of the whole store, and with an account's number the one of that account."""

FROZEN = "spending was frozen before it was sent"
"""The problem of an approval that a freeze has ended."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze: since when (seconds since the epoch), where it was ordered, and the operator's name on a server."""

    since: float
    place: Place = "terminal"
    by: str | None = None


def current(connection: Connection) -> Freeze | None:
    """The freeze that holds for the connection's account. While nobody knows whose the account is, that of any other
    holds: it may be the same, under a new key."""
    if (found := of_store(connection) or _at(connection, facts.own(connection, _FREEZE))) is not None:
        return found
    others = connection.rows("SELECT value FROM facts WHERE name LIKE ? ORDER BY name LIMIT 1", (f"{_FREEZE}@%",))
    for (value,) in list(others) if accounts.is_doubtful(connection) else ():
        return replace(_read(str(value)), by=None)  # who it was is not another account's to know
    return None


def of_store(connection: Connection) -> Freeze | None:
    """The freeze of the whole store."""
    return _at(connection, _FREEZE)


def _at(connection: Connection, name: str) -> Freeze | None:
    stored = facts.get(connection, name)
    return None if stored is None else _read(stored)


def _read(stored: str) -> Freeze:
    with suppress(ValueError, TypeError):
        freeze = Freeze(**json.loads(stored))
        if is_time(freeze.since):
            return freeze
    return Freeze(0.0)  # it is damaged, and holds


def begin(
    connection: Connection, freeze: Freeze, costs_money: Callable[[Entry], bool], *, of_all: bool
) -> tuple[Freeze, int]:
    """Freeze the connection's account, or the whole store. Approvals of what costs money that were not sent are ended.
    Returns the freeze that holds, which may be an earlier one, and how many approvals were ended."""
    if of_all:
        connection.alone()
    facts.made_once(connection, _name(connection, of_all=of_all), json.dumps(asdict(freeze)))
    ended = 0
    for account in _accounts_with(connection, ("approved",), of_all=of_all):
        with accounts.acting_for(connection, account):
            for entry in journal.select(connection, "state = 'approved'"):
                ended += costs_money(entry) and stop(connection, entry.id, freeze.since)
    return current(connection) or freeze, ended


def hold(connection: Connection, now: float) -> None:
    """Freeze the whole store, since nobody can say whether it was."""
    facts.made_once(connection, _FREEZE, json.dumps(asdict(Freeze(now))))


def put_back(connection: Connection, old: Connection) -> None:
    """Let the freezes of another file of the store hold here: that of the account, and that of the whole store."""
    for there, here in ((_FREEZE, _FREEZE), (facts.own(old, _FREEZE), facts.own(connection, _FREEZE))):
        if (stored := facts.get(old, there)) is not None:
            facts.made_once(connection, here, stored)


def stop(connection: Connection, entry_id: str, now: float) -> bool:
    """End an approval that was not sent, since spending is frozen. Returns whether it was one."""
    columns: dict[str, str | float] = {"state": "expired", "settled_at": now, "problem": FROZEN}
    return journal.change(connection, entry_id, columns, only_if=("approved",))


def end(connection: Connection, *, of_all: bool) -> bool:
    """Lift every freeze of the store; or that of the connection's account, and the store's where it has no other
    account. Returns whether there was one."""
    if of_all:
        connection.alone()
        query = "DELETE FROM facts WHERE name = ? OR name LIKE ?"
        return connection.execute(query, (_FREEZE, f"{_FREEZE}@%")) > 0
    names = [facts.own(connection, _FREEZE)]
    if connection.count("SELECT count(DISTINCT account) FROM keys") < 2:
        names.append(_FREEZE)
    return sum(connection.execute("DELETE FROM facts WHERE name = ?", (name,)) for name in names) > 0


def claimed(connection: Connection, since: float, *, of_all: bool) -> list[tuple[Entry, bool]]:
    """What has been claimed and has no outcome yet, of the connection's account or of all, and whether the process that
    has claimed it looks gone. Also what somebody has taken for lost since the time `since`: its process may only stand
    still, or the clock was set forward after the claim."""
    found: list[tuple[Entry, bool]] = []
    for account in _accounts_with(connection, ("executing", "unknown"), of_all=of_all):
        with accounts.acting_for(connection, account):
            query = "(state = 'executing' OR (state = 'unknown' AND (sent_at > ? OR settled_at > ?))) ORDER BY seq"
            entries = journal.select(connection, query, (since, since))
            found += [(entry, entry.state == "unknown" or _is_gone(connection, entry)) for entry in entries]
    return found


def _is_gone(connection: Connection, entry: Entry) -> bool:
    return entry.owner is None or connection.is_gone(entry.owner)


def _name(connection: Connection, *, of_all: bool) -> str:
    return _FREEZE if of_all else facts.own(connection, _FREEZE)


def _accounts_with(connection: Connection, states: Sequence[State], *, of_all: bool) -> list[int]:
    if not of_all:
        return [connection.account]
    query = f"SELECT DISTINCT account FROM spending WHERE state IN ({', '.join('?' * len(states))})"  # noqa: S608
    return [account for (account,) in connection.rows(query, states) if isinstance(account, int)]
