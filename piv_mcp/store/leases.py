"""The SQL of leases and watches, and the identity of the processes that own them.

Each of them expires at a stored time, since its process can die without releasing it. Times are seconds since the
epoch, by the system clock that all processes of the machine share.
"""

import os
import sys
from pathlib import Path

from piv_mcp.store import facts
from piv_mcp.store.connection import Connection

LONGEST_SECONDS = 120.0
"""Longer than any of them is granted for: what ends later is of a clock that was ahead, and has ended."""

# --- processes


def this_process() -> str:
    """A name for this process that no other process of the machine has had: its process id and its start time."""
    return f"{os.getpid()}:{_start_time(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the process that the first two parts of `owner` name has certainly ended. A name that no process can have
    is damaged: that of none.

    Always false on Windows, where a process cannot be checked without the risk of ending it: there a lease ends only
    when it expires.
    """
    pid, _, rest = owner.partition(":")
    if not pid.isdecimal():
        return True
    if sys.platform == "win32":
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return rest.partition(":")[0] != _start_time(int(pid))


def _start_time(pid: int) -> str:
    """When the process started, in the system's own unit; empty if unknown. Process ids are reused."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


# --- leases


def take(connection: Connection, name: str, owner: str, *, now: float, seconds: float) -> bool:
    """Take the account's lease `name` for this many seconds, or extend it if `owner` has it; false if another process
    has it. A lease that cannot be read is free."""
    if not is_free(connection, name, owner, now=now):
        return False
    facts.put_own(connection, name, f"{owner}|{now + seconds}")
    return True


def is_free(connection: Connection, name: str, owner: str, *, now: float) -> bool:
    """Whether `owner` could take the account's lease."""
    holder, _, until = (facts.get(connection, facts.own(connection, name)) or "").rpartition("|")
    return holder == owner or not now < facts.as_number(until) <= now + LONGEST_SECONDS or connection.is_gone(holder)


def release(connection: Connection, name: str, owner: str) -> None:
    """Release the account's lease, if `owner` has it, so that another process can take it at once."""
    name = facts.own(connection, name)
    if (facts.get(connection, name) or "").startswith(f"{owner}|"):
        facts.put(connection, name, "")


# --- watches: one for each number that a process polls


def note_watch(connection: Connection, watcher: str, piv_num_id: str, *, now: float, until: float) -> None:
    """Record that `watcher` polls the number until the time `until`, or extend its watch."""
    connection.execute("DELETE FROM watches WHERE until <= ? OR until > ?", (now, now + LONGEST_SECONDS))
    connection.execute(
        "INSERT INTO watches (watcher, number, until, account) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (watcher) DO UPDATE SET until = excluded.until",
        (watcher, piv_num_id, until, connection.account),
    )


def forget_watch(connection: Connection, watcher: str) -> None:
    """Drop the watch with its claimed poll, so that an abandoned poll delays nobody."""
    connection.execute("DELETE FROM watches WHERE watcher = ?", (watcher,))


def watched(connection: Connection) -> int:
    """How many different numbers of the account are polled."""
    query = "SELECT count(DISTINCT number) FROM watches WHERE account = ?"
    return connection.count(query, (connection.account,))
