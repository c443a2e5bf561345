"""The messages of a number that only webhooks told, beside a page of its SMS history."""

from collections.abc import Sequence

from piv_mcp.api.numbers import Sms
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of_sms
from piv_mcp.store import Connection, event, events, recording
from piv_mcp.store.event import StoredEvent

LOOKED_AT = 100
"""So many of the newest such messages are looked at."""


async def told_by_webhooks(inbox: Inbox, piv_num_id: str, page: Sequence[Sms]) -> list[StoredEvent]:
    """Those that are not in this page of the history either, the newest first."""
    now, remote_now = inbox.clock.time(), inbox.remote_time()
    shown = [event_of_sms(piv_num_id, sms, now=now, remote_now=remote_now) for sms in page if not sms.is_outbound]
    return await inbox.shown.read(_beside, piv_num_id, shown)


def _beside(connection: Connection, piv_num_id: str, page: Sequence[StoredEvent]) -> list[StoredEvent]:
    met = [recording.counterpart_of(connection, message) for message in recording.unknown(connection, page)]
    known = {row.seq for row in met if row is not None}
    found = events.unconfirmed(connection, piv_num_id, limit=LOOKED_AT + len(known))
    return event.newest_first([row for row in found if row.seq not in known])
