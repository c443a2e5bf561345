"""The call that an answer leads to, as this server can carry it out."""

from piv_mcp.inbox import cursor
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.services import Services
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.store import events

WAITS = frozenset({"wait_for_code", "wait_for_event"})
"""These are tools of the inbox, and take a cursor."""


async def follow_up(app: Services, call: FollowUp, before: Cursor) -> FollowUp | None:
    """The call, with the cursor from `before` the action if it is one that waits; None if its tool is not offered."""
    if call.tool not in WAITS:
        return call
    if "inbox" not in app.toolsets:
        return None
    owner = await app.store.read(cursor.identity)
    return FollowUp(tool=call.tool, arguments={**call.arguments, "after": cursor.write(before, owner)})


async def here(app: Services) -> Cursor:
    """The cursor past all that has come."""
    return Cursor(await app.store.read(events.last_seq), at=int(app.inbox.remote_time() or 0))


async def there(app: Services, now: Cursor, sent_at: float) -> Cursor:
    """The earlier of the cursor `now` and that of the time `sent_at` on this machine's clock."""
    seq = await app.store.read(events.last_before, sent_at)
    ago = max(0.0, app.clock.time() - sent_at)
    return Cursor(min(now.seq, seq), at=max(0, int(now.at - ago)))
