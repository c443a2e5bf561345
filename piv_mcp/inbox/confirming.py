"""Whether the account's own SMS history confirms a message. Anybody who knows the webhook address can send one."""

from typing import Literal

from piv_mcp.store import polls
from piv_mcp.store.event import StoredEvent

LATE_IN_HISTORY_SECONDS = 60.0
"""A history may show a message a little after its webhook."""

Confirmation = Literal["found", "absent", "not_looked"]
"""The history has it; the history does not have it, although it was looked at; it was not looked at yet."""


def confirmation(event: StoredEvent, look: polls.Look) -> Confirmation:
    """`look` is the last one at the history of the message's number."""
    if event.confirmed:
        return "found"
    is_late = look.at >= event.recorded_at + LATE_IN_HISTORY_SECONDS
    return "absent" if look.was_made and event.seq <= look.seq and is_late else "not_looked"
