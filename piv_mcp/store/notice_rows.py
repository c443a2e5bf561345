"""The SQL of notices: what a person is told of while they look at nothing, once for each of their addresses.

What is to be told is found from the journal and the inbox, by what has no row here yet. A row is written before
anything is sent, and says afterwards that it was. Times are seconds since the epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from piv_mcp.store import events, facts, journal
from piv_mcp.store.connection import Connection
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.journal import Entry
from piv_mcp.store.rows import RowReader

NoticeState = Literal["due", "told", "over"]

SINCE = "notices:since"
"""When notices were first turned on, for the account."""
THROUGH = "notices:through"
"""The last event of the account that was looked at."""
LOW = "notices:low"
"""Is "1" while the balance was told to be low."""
GUESSES = "notices:guesses"
"""How many wrong webhook secrets there had been, and when, where the count of a burst begins."""

NEW_EVENTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """One notice to one address, which is known by its digest. `facts` is what its text is made of, as JSON, where that
    stands nowhere else in the store."""

    event: str
    subject: str
    address: str
    found_at: float
    next_at: float
    tries: int = 0
    state: NoticeState = "due"
    facts: str | None = None


_COLUMNS = tuple(NoticeRow.__dataclass_fields__)
_read = RowReader(NoticeRow)


def turn_on(connection: Connection, now: float) -> None:
    """Note when notices were first turned on: nothing from before is told."""
    if facts.made_once_own(connection, SINCE, str(now)) == str(now):
        facts.made_once_own(connection, THROUGH, str(events.last_seq(connection)))
    elif since(connection) > now:  # by a clock that was ahead
        facts.put_own(connection, SINCE, str(now))


def since(connection: Connection) -> float:
    """When notices were first turned on for the account."""
    return facts.own_number(connection, SINCE)


def add(
    connection: Connection,
    event: str,
    subject: str,
    addresses: Sequence[str],
    now: float,
    told: str | None = None,
) -> None:
    """Note that this is to be told to each address, unless that was noted before."""
    for address in addresses:
        connection.execute(
            "INSERT INTO notices (event, subject, address, found_at, next_at, tries, state, facts, account)"
            " VALUES (?, ?, ?, ?, ?, 0, 'due', ?, ?) ON CONFLICT (account, event, subject, address) DO NOTHING",
            (event, subject, address, now, now, told, connection.account),
        )


def untold(connection: Connection, event: str, condition: str, after: float) -> list[Entry]:
    """Entries of the journal in this condition of SQL, which compares with a time, and of which nothing was noted."""
    return journal.select(
        connection,
        f"{condition} AND NOT EXISTS (SELECT 1 FROM notices WHERE notices.account = spending.account"  # noqa: S608 - our own words
        " AND notices.event = ? AND notices.subject = spending.id || ':' || spending.state) ORDER BY seq LIMIT 200",
        (max(after, since(connection)), event),
    )


def new_events(connection: Connection) -> list[StoredEvent]:
    """The events that were not looked at yet, the oldest first, and from now on were."""
    through = int(facts.own_number(connection, THROUGH))
    found = events.select(connection, "seq > ? ORDER BY seq LIMIT ?", (through, NEW_EVENTS_AT_ONCE))
    if found:
        facts.put_own(connection, THROUGH, str(found[-1].seq))
    return found


def cross(connection: Connection, now: float, *, is_low: bool, quiet_seconds: float) -> bool:
    """Note whether the balance is low; returns whether it has become so. What was told in the last `quiet_seconds` has
    not become so again yet: a later look finds it."""
    was_low = facts.get(connection, facts.own(connection, LOW)) == "1"
    query = "SELECT count(*) FROM notices WHERE account = ? AND event = 'balance' AND found_at > ? AND found_at <= ?"
    if is_low and not was_low and connection.count(query, (connection.account, now - quiet_seconds, now)):
        return False
    if is_low != was_low:
        facts.put_own(connection, LOW, "1" if is_low else "0")
    return is_low and not was_low


def burst(connection: Connection, now: float, *, most: int, seconds: float) -> int:
    """How many wrong webhook secrets have come in one burst, if they are at least `most`, once in so many seconds for
    the whole store; else 0."""
    count, _ = facts.counted(connection, facts.WRONG_SECRET)
    value = facts.made_once(connection, GUESSES, f"{count}|{now}")
    before, at = (facts.as_number(part) for part in value.split("|", 1))
    came = count - int(before)
    if now < at <= now + 2 * seconds:
        return 0  # it was told within the last hour, or so
    if came < most and 0 <= now - at < seconds:
        return 0
    # Of several who look at once, one finds the value that it has read.
    query = "UPDATE facts SET value = ? WHERE name = ? AND value = ?"
    quiet_until = now + seconds if came >= most else now
    is_first = connection.execute(query, (f"{count}|{quiet_until}", GUESSES, value)) == 1
    return came if is_first and came >= most else 0


def due(connection: Connection, address: str, now: float, *, longest_pause: float) -> list[NoticeRow]:
    """What is to be told to an address now, the first one first. What would rest for longer than the longest pause is
    of a clock that was ahead."""
    query = (
        f"SELECT {', '.join(_COLUMNS)} FROM notices"  # noqa: S608 - our own column names
        " WHERE account = ? AND address = ? AND state = 'due' AND (next_at <= ? OR next_at > ?)"
        " ORDER BY found_at LIMIT 100"
    )
    return [_read(row) for row in connection.rows(query, (connection.account, address, now, now + longest_pause))]


def note(connection: Connection, row: NoticeRow) -> None:
    """Note what became of a notice."""
    connection.execute(
        "UPDATE notices SET state = ?, tries = ?, next_at = ?"
        " WHERE account = ? AND event = ? AND subject = ? AND address = ?",
        (row.state, row.tries, row.next_at, connection.account, row.event, row.subject, row.address),
    )


def forget(connection: Connection, before: float) -> int:
    """Delete the notices that were found before this time; returns how many."""
    return connection.execute("DELETE FROM notices WHERE account = ? AND found_at < ?", (connection.account, before))
