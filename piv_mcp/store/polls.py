"""The SQL of shared polling of the SMS history: when each number was last polled, and which watcher polls it now.

Times are seconds since the epoch. A time in the future is ignored, since it was written while the clock was wrong.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import RowReader


def claim(connection: Connection, watcher: str, at: float | None) -> None:
    """Record that `watcher` begins a poll at the time `at`; `None` withdraws its claim."""
    connection.execute("UPDATE watches SET claimed_at = ? WHERE watcher = ?", (at, watcher))


def claimed_at(connection: Connection, piv_num_id: str, now: float) -> float:
    """When a current watcher of the number last began a poll; 0 if none did."""
    query = "SELECT max(claimed_at) FROM watches WHERE number = ? AND claimed_at <= ? AND account = ?"
    (at,) = next(connection.rows(query, (piv_num_id, now, connection.account)))
    return float(at or 0.0)


NUMBERS_AT_ONCE = 500
"""In one query."""

JUST_SENT_SECONDS = 15 * 60
"""Messages that the number sent are not stored. One from so long before the last look was in that look."""


@dataclass(frozen=True, slots=True)
class Look:
    """The last finished reading of a number's history, by any process of the machine.

    `at` is when it began on this machine's clock, `remote_at` the same on piv.day's, if known; both in seconds since
    the epoch. `seq` is the newest event at its beginning, `total` how many messages the history had, `first_seq` the
    newest event when the first look at this history had ended. `problem` says why the reading, or a part of it, has
    failed since `failing_since`. Messages of up to `erased_at`, on piv.day's clock, were erased. `just_sent` is how
    many messages it found that the number had sent in the `JUST_SENT_SECONDS` before, or that do not say when.
    """

    at: float = 0.0
    seq: int = 0
    remote_at: float | None = None
    total: int | None = None
    first_seq: int = 0
    erased_at: float | None = None
    failing_since: float | None = None
    problem: str | None = None
    just_sent: int = 0

    @property
    def was_made(self) -> bool:
        return self.at > 0

    def first_brought(self, seq: int) -> bool:
        """Whether the first look at the history brought this message of it: it may have been there for long."""
        return not self.was_made or seq <= self.first_seq

    def seconds_since(self, now: float, remote_now: float | None) -> float | None:
        """How long ago it began; None if there was none, or a clock was set since.

        Of two clocks that differ, the one with the longer time: an old message must not become a new one.
        """
        if not self.was_made:
            return None
        passed = [now - self.at]
        if remote_now is not None and self.remote_at is not None:
            passed.append(remote_now - self.remote_at)
        return max(passed) if max(passed) >= 0 else None


_COLUMNS = tuple(Look.__dataclass_fields__)
_read = RowReader(Look)


def look(connection: Connection, piv_num_id: str) -> Look:
    """The last look at the number's history."""
    query = f"SELECT {', '.join(_COLUMNS)} FROM looks WHERE account = ? AND number = ?"  # noqa: S608 - our own names
    row = next(connection.rows(query, (connection.account, piv_num_id)), None)
    return _read(row) if row else Look()


def is_erased(connection: Connection, piv_num_id: str | None, at: float) -> bool:
    """Whether what the number got at the time `at`, on piv.day's clock, was erased since."""
    return piv_num_id is not None and at <= (look(connection, piv_num_id).erased_at or 0.0)


def erased(connection: Connection, numbers: Collection[str]) -> dict[str, float]:
    """Up to when, on piv.day's clock, messages were erased: of those of the numbers of which some were."""
    wanted, found = sorted(numbers), dict[str, float]()
    for start in range(0, len(wanted), NUMBERS_AT_ONCE):
        part = wanted[start : start + NUMBERS_AT_ONCE]
        query = (
            "SELECT number, erased_at FROM looks WHERE account = ? AND erased_at IS NOT NULL"  # noqa: S608
            f" AND number IN ({', '.join('?' * len(part))})"
        )
        found |= {str(number): float(at) for number, at in connection.rows(query, (connection.account, *part))}
    return found


def looks(connection: Connection, numbers: Sequence[str]) -> dict[str, Look]:
    """The last look at the history of each of the numbers."""
    return {number: look(connection, number) for number in numbers}


def note_look(connection: Connection, piv_num_id: str, finished: Look) -> None:
    """Record a finished reading of the number's history. The `first_seq` of the first one stays."""
    columns = ("at", "seq", "remote_at", "total", "failing_since", "problem", "just_sent")
    is_first = not look(connection, piv_num_id).was_made
    _note(connection, piv_num_id, *columns, *(("first_seq",) if is_first else ()), values=finished)


def note_failure(connection: Connection, piv_num_id: str, problem: str, now: float) -> None:
    """Record that the number's history could not be read at the time `now`."""
    connection.execute(
        "INSERT INTO looks (number, account, at, failing_since, problem) VALUES (?, ?, 0, ?, ?)"
        " ON CONFLICT (account, number) DO UPDATE SET problem = excluded.problem,"
        " failing_since = coalesce(looks.failing_since, excluded.failing_since)",
        (piv_num_id, connection.account, now, problem),
    )


def note_erased(connection: Connection, piv_num_id: str, at: float) -> None:
    """Record that the number's messages of up to `at`, on piv.day's clock, were erased."""
    at = max(at, look(connection, piv_num_id).erased_at or 0.0)
    _note(connection, piv_num_id, "erased_at", values=Look(erased_at=at))


def _note(connection: Connection, piv_num_id: str, *columns: str, values: Look) -> None:
    names = ("number", "account", *dict.fromkeys(("at", *columns)))
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
    connection.execute(
        f"INSERT INTO looks ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
        f" ON CONFLICT (account, number) DO UPDATE SET {updates}",
        (piv_num_id, connection.account, *(getattr(values, name) for name in names[2:])),
    )


def looked_at(connection: Connection, piv_num_id: str, now: float) -> float:
    """When the last finished poll of the number began; 0 if there was none."""
    at = look(connection, piv_num_id).at
    return at if at <= now else 0.0
