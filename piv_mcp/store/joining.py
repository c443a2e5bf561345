"""What one process still sees of a store whose file is gone, added to the store that has taken its place."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from piv_mcp.errors import StoreError
from piv_mcp.store import accounts, events, freezes, journal, pending, polls, recording
from piv_mcp.store.connection import Connection
from piv_mcp.store.migrations import migrate
from piv_mcp.store.sqlite import SqliteConnection, connect, is_new, refuse_newer, transaction

TRANSACTION_SECONDS = 1.0
"""How long other processes' transactions are waited for."""

EVERY_ENTRY = 1_000_000_000


@dataclass(slots=True)
class Joined:
    """How many events and journal entries were added to a store."""

    events: int = 0
    entries: int = 0


def join(path: Path, view: Path) -> Joined:
    """Add the events, the journal entries and the freezes that `view` has and the store at `path` does not, in one
    transaction.

    Raises:
        StoreError: the store has no tables, or nobody knows whose rows these are.
        sqlite3.Error: the store is locked or damaged.
    """
    with closing(connect(path, TRANSACTION_SECONDS).raw) as raw, closing(sqlite3.connect(view)) as seen:
        store, old = SqliteConnection(raw), SqliteConnection(seen)
        refuse_newer(store)
        if is_new(store):
            raise StoreError("the new store has no tables yet")
        store.execute("PRAGMA journal_mode = WAL")
        migrate(store)
        joined = Joined()
        with transaction(store):
            for mine, theirs in _places(store, old).items():
                old.account = mine
                with accounts.acting_for(store, theirs):
                    freezes.put_back(store, old)
                    joined.events += _join_events(store, old)
                    joined.entries += _join_entries(store, old)
                    for row in pending.in_progress(old):
                        pending.find(store, row)
        return joined


def _places(store: Connection, old: Connection) -> dict[int, int]:
    """For each account of the view that has rows, which account it is in the store: that of the same key."""
    places: dict[int, int] = {}
    for digest, account in list(old.rows("SELECT digest, account FROM keys ORDER BY account, digest")):
        place = accounts.of_key(store, digest) or accounts.add_key(store, digest)
        places.setdefault(account, place)
    if not places:  # nobody has used a key
        places[accounts.UNCLAIMED] = accounts.of_key(store, None) or accounts.UNCLAIMED
    with_rows = {account for (account,) in old.rows("SELECT account FROM events UNION SELECT account FROM spending")}
    if not with_rows <= places.keys():
        raise StoreError("it is not known whose some of the rows are")
    return places


def _join_events(store: Connection, old: Connection) -> int:
    query = "SELECT digest, message_id, stored_at FROM events WHERE account = ?"
    known = set(store.rows(query, (store.account,)))
    count = 0
    for event in events.all_since(old, 0):
        is_known = (event.digest, event.message_id, event.stored_at) in known
        if not is_known and not polls.is_erased(store, event.subject, event.moment):
            count += recording.put_back(store, event)
    return count


def _join_entries(store: Connection, old: Connection) -> int:
    entries = reversed(journal.newest(old, limit=EVERY_ENTRY))
    return sum(journal.put_back(store, entry) for entry in entries)
