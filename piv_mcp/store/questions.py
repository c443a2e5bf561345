"""The SQL of the questions that clients were given: when each was put, and when its first answer came."""

from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import is_time
from piv_mcp.text.times import DAY_SECONDS


def put(connection: Connection, question_id: str, entry_id: str, now: float) -> None:
    """Record that the question on an entry was put at the time `now`. Questions of more than a day ago are deleted."""
    connection.execute("DELETE FROM questions WHERE put_at < ?", (now - DAY_SECONDS,))
    connection.execute(
        "INSERT INTO questions (id, entry_id, put_at, account) VALUES (?, ?, ?, ?)",
        (question_id, entry_id, now, connection.account),
    )


def answer(connection: Connection, question_id: str, entry_id: str, now: float) -> float | None:
    """When the first answer to the question came: at `now`, unless there was one; None if the question was not put, or
    that cannot be read."""
    connection.execute(
        "UPDATE questions SET answered_at = ? WHERE id = ? AND entry_id = ? AND answered_at IS NULL",
        (now, question_id, entry_id),
    )
    rows = connection.rows(
        "SELECT answered_at FROM questions WHERE id = ? AND entry_id = ?",
        (question_id, entry_id),
    )
    row = next(rows, None)
    return row[0] if row is not None and is_time(row[0]) else None
