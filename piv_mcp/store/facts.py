"""The SQL of single named values: the store's id, how far events were pruned, leases, counters for `doctor`."""

import math
from contextlib import suppress

from piv_mcp.store.connection import Connection

STORE_ID = "store:id"
"""The id of the store. Processes that read the same id share their approvals."""

PRUNED_THROUGH = "pruned_through"
"""The highest event id that pruning has reached: for an account, and before that was told, for all."""

WRONG_SECRET = "wrong_secret"  # noqa: S105 - the name of a counter
"""Counts webhook requests whose address has a wrong secret."""

WEBHOOK_RECEIVED = "webhook:received"
"""When a process has last begun to receive webhooks for the account. Without it, none has ever come."""

WEBHOOK_TEST = "webhook:test"
"""The nonce of the last test event that came through a webhook's address."""

PAGE_OPENED = "page:opened"
PAGE_SEEN = "page:seen"
"""When a process last opened the approval page in a browser, and when a browser last asked for what it shows."""

KEYS_LOST = "keys:lost"
"""Is there if damage has cost the store some of its keys, so that an account without a key may be somebody's."""

WEBHOOK_SECRET = "webhook:secret"  # noqa: S105 - the name of a fact
"""An account's webhook secret, where servers that share the store make it."""

SEAL_KEYS = "http:seal_keys"
"""The keys that seal what a question's client sends back, with commas between: the first seals, each one opens."""

SAME_MOMENT_SECONDS = 5.0
"""Times further ahead than this come from a clock that was set back since."""


def own(connection: Connection, name: str) -> str:
    """The name of a fact that each account has for itself."""
    return f"{name}@{connection.account}"


def get(connection: Connection, name: str) -> str | None:
    row = next(connection.rows("SELECT value FROM facts WHERE name = ?", (name,)), None)
    return None if row is None else str(row[0])


def put(connection: Connection, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def made_once(connection: Connection, name: str, value: str) -> str:
    """The value that is there; `value`, if there was none."""
    connection.execute("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, value))
    return get(connection, name) or value


def made_once_own(connection: Connection, name: str, value: str) -> str:
    """`made_once` of a fact that each account has for itself."""
    return made_once(connection, own(connection, name), value)


def put_own(connection: Connection, name: str, value: str) -> None:
    """Put a fact that each account has for itself."""
    put(connection, own(connection, name), value)


def own_number(connection: Connection, name: str) -> float:
    """The value of a fact that each account has for itself, as a number; 0 if there is none."""
    return number(connection, own(connection, name))


def move_own(connection: Connection, account: int, to: int) -> None:
    """Give the facts that an account has for itself to another, but for those that it has already."""
    ending = f"@{account}"
    connection.execute(
        "INSERT INTO facts (name, value) SELECT substr(name, 1, length(name) - ?) || ?, value FROM facts"
        " WHERE name LIKE ? ON CONFLICT (name) DO NOTHING",
        (len(ending), f"@{to}", f"%{ending}"),
    )
    connection.execute("DELETE FROM facts WHERE name LIKE ?", (f"%{ending}",))


def number(connection: Connection, name: str) -> float:
    """The value as a number; 0 if there is none, or it is damaged."""
    return as_number(get(connection, name))


def highest(connection: Connection, name: str) -> int:
    """The highest value of a fact, whichever account has it."""
    found = connection.rows("SELECT value FROM facts WHERE name = ? OR name LIKE ?", (name, f"{name}@%"))
    return int(max((as_number(str(value)) for (value,) in found), default=0.0))


def as_number(text: str | None) -> float:
    with suppress(ValueError):
        if math.isfinite(value := float(text or 0)):
            return value
    return 0.0


def count_up(connection: Connection, name: str, now: float, by: int = 1) -> None:
    """Add `by` to the counter `name` and record the time `now` (seconds since the epoch)."""
    put(connection, f"{name}:count", str(int(number(connection, f"{name}:count")) + by))
    put(connection, f"{name}:at", str(now))


def counted(connection: Connection, name: str) -> tuple[int, float]:
    """(the counter `name`, when it was last increased)."""
    return int(number(connection, f"{name}:count")), number(connection, f"{name}:at")


def claim_page(connection: Connection, now: float, *, seen_since: float, opened_since: float) -> bool:
    """Note that the caller opens the approval page now. Returns false if somebody has looked at one since `seen_since`,
    or one was opened since `opened_since`."""
    for name, since in ((PAGE_SEEN, seen_since), (PAGE_OPENED, opened_since)):
        if since <= number(connection, own(connection, name)) <= now + SAME_MOMENT_SECONDS:
            return False
    put_own(connection, PAGE_OPENED, str(now))
    return True
