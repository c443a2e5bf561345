"""What a new store takes over from a damaged one: the spending journal, as far as it can be read.

The inbox fills itself again from the SMS history. The journal has no second source, and an entry whose outcome is
unknown must go on blocking its action.
"""

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import structlog

from piv_mcp.store import events

TABLE = "spending"

_log = structlog.get_logger(__name__)


def carry_over(connection: sqlite3.Connection, kept: Path) -> None:
    """Copy what can be read of the journal in `kept` into the new store. Damage is no error here."""
    events.begin_after(connection, int(time.time()))  # no store has held so many events
    rows = _readable(kept)
    for row in rows:
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR IGNORE INTO {TABLE} ({columns}) VALUES ({marks})", list(row.values()))  # noqa: S608
    _log.warning("the spending journal was taken over from the damaged store", entries=len(rows), kept=str(kept))


def _readable(kept: Path) -> list[dict[str, object]]:
    """The entries before the damage and those behind it, the oldest first. The file stays as it is."""
    found: dict[int, dict[str, object]] = {}
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(f"{kept.as_uri()}?mode=ro", uri=True)) as old:
        for order in ("ASC", "DESC"):
            with suppress(sqlite3.DatabaseError):
                cursor = old.execute(f"SELECT * FROM {TABLE} ORDER BY seq {order}")  # noqa: S608
                names = [column[0] for column in cursor.description]
                for row in cursor:
                    entry = dict(zip(names, row, strict=True))
                    found[int(entry["seq"])] = entry
    return [found[seq] for seq in sorted(found)]
