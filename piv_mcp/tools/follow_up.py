"""The call that an answer leads to, as this server can carry it out."""

from contextlib import suppress

from piv_mcp.errors import StoreError
from piv_mcp.inbox import cursor
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.services import Services
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.spending.receipt import Receipt
from piv_mcp.store import events

WAITS = frozenset({"wait_for_code", "wait_for_event"})
"""These are tools of the inbox, and take a cursor."""


async def here(app: Services) -> Cursor | None:
    """The cursor past all that has come; None if the store cannot say."""
    with suppress(StoreError):
        return Cursor(await app.store.read(events.last_seq), at=int(app.inbox.remote_time() or 0))
    return None


async def leading_on(app: Services, receipt: Receipt, before: Cursor | None) -> Receipt:
    """The receipt with its follow-up from `before` the call. Money may have moved: a store that fails costs the
    follow-up, never the receipt."""
    if receipt.follow_up is None:
        return receipt
    call = None
    with suppress(StoreError):
        call = await follow_up(app, receipt.follow_up, before and await _before_the_action(app, receipt, before))
    return receipt.model_copy(update={"follow_up": call})


async def follow_up(app: Services, call: FollowUp, before: Cursor | None) -> FollowUp | None:
    """The call, with the cursor from `before` the action if it is one that waits; None if its tool is not offered."""
    if call.tool not in WAITS:
        return call
    if "inbox" not in app.toolsets:
        return None
    if before is None:
        return call
    owner = await app.store.read(cursor.identity)
    return FollowUp(tool=call.tool, arguments={**call.arguments, "after": cursor.write(before, owner)})


async def _before_the_action(app: Services, receipt: Receipt, now: Cursor) -> Cursor:
    """The cursor `now`, or that of when the action was sent: the call may repeat one of before."""
    entry = await app.gate.journal.get(receipt.spending_id or "")
    if entry is None or entry.sent_at is None:
        return now
    seq = await app.store.read(events.last_before, entry.sent_at)
    ago = max(0.0, app.clock.time() - entry.sent_at)
    return Cursor(min(now.seq, seq), at=max(0, int(now.at - ago)))
