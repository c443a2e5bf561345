"""The SQL of who holds what until when: the back-fill's lease, executions of the journal, watches, waiting calls.

Every holding ends at a time, since its process can die without giving it up. Times are seconds since the epoch, by the
clock that all processes of the machine share.
"""

import os
import sys
from pathlib import Path

from piv_mcp.store import facts
from piv_mcp.store.connection import Connection

# --- processes


def this_process() -> str:
    """Names this process among all that the machine has had: its id and when it began."""
    return f"{os.getpid()}:{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the process that `owner` names (its first two parts) has certainly ended.

    On Windows there is no harmless way to ask, so that only the time of a holding ends it.
    """
    pid, _, rest = owner.partition(":")
    if sys.platform == "win32" or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return rest.partition(":")[0] != _started(int(pid))


def _started(pid: int) -> str:
    """When the process began, where the system tells: a later process can have the same id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


# --- leases


def take(connection: Connection, name: str, owner: str, *, now: float, seconds: float) -> bool:
    """Hold the lease `name` for so many seconds, or longer if it is `owner`'s already; False if another has it."""
    holder, _, until = (facts.get(connection, name) or "|0").rpartition("|")
    if holder != owner and float(until or 0) > now and not is_gone(holder):
        return False
    facts.put(connection, name, f"{owner}|{now + seconds}")
    return True


def release(connection: Connection, name: str, owner: str) -> None:
    """Let another process take the lease at once."""
    if (facts.get(connection, name) or "").startswith(f"{owner}|"):
        facts.put(connection, name, "")


# --- watches: numbers that a process waits for, and polls


def note_watch(connection: Connection, watcher: str, number: str, *, now: float, until: float) -> None:
    """`watcher` polls the number until then, unless it says so again."""
    connection.execute("DELETE FROM watches WHERE until <= ?", (now,))
    connection.execute(
        "INSERT INTO watches (watcher, number, until) VALUES (?, ?, ?)"
        " ON CONFLICT (watcher) DO UPDATE SET until = excluded.until",
        (watcher, number, until),
    )


def forget_watch(connection: Connection, watcher: str) -> None:
    """Drop the watch with its claimed poll, so that an abandoned poll delays nobody."""
    connection.execute("DELETE FROM watches WHERE watcher = ?", (watcher,))


def watched(connection: Connection) -> int:
    """How many numbers are polled, however many poll each."""
    return connection.count("SELECT count(DISTINCT number) FROM watches")


# --- calls of persons that wait for a slot of the request limit


def note_waiting(connection: Connection, token: str, until: float) -> None:
    connection.execute(
        "INSERT INTO waiting (token, until) VALUES (?, ?) ON CONFLICT (token) DO UPDATE SET until = excluded.until",
        (token, until),
    )


def forget_waiting(connection: Connection, token: str) -> None:
    connection.execute("DELETE FROM waiting WHERE token = ?", (token,))


def someone_waits(connection: Connection, now: float) -> bool:
    """Whether a person's call waits for a slot, in any process."""
    connection.execute("DELETE FROM waiting WHERE until <= ?", (now,))
    return connection.count("SELECT count(*) FROM waiting") > 0
