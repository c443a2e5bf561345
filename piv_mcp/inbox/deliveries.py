"""What the SMS history tells of messages that a number sends, and of verifications by Google."""

from collections.abc import Sequence

from piv_mcp.api.numbers import Sms
from piv_mcp.inbox import outcomes, progress
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.outcomes import Told
from piv_mcp.store import journal, pending
from piv_mcp.store.pending import Pending
from piv_mcp.text.times import DAY_SECONDS

EARLIER_SECONDS = 5.0
"""A message may say that it is so much older than the verification that has left it: times are of several clocks."""


async def note(inbox: Inbox, piv_num_id: str, read: Sequence[Sms], *, at: float, remote_at: float | None) -> None:
    """Note what the messages that a look has read tell. The look began at `at` on this machine's clock, and at
    `remote_at` on piv.day's.

    Raises:
        StoreError: nothing was noted.
    """
    rows = await inbox.store.read(pending.in_progress, ("message", "verification"), piv_num_id)
    sent = {sms.id: sms for sms in read if sms.is_outbound and sms.id}
    known = {row.id for row in rows}
    found = [
        pending.pending("message", sms.id, piv_num_id, state=sms.status)
        for sms in sent.values()
        if sms.id not in known and _is_just_begun(sms, remote_at)
    ]
    if not rows and not found:
        return
    made = await inbox.store.read(journal.made)
    ahead = 0.0 if remote_at is None else remote_at - at
    told: list[tuple[Pending, Told]] = []
    for row in rows:
        if row.kind == "message":
            sms = sent.get(row.id)
            seen = Told(row.state or "unknown") if sms is None else outcomes.of_message(row, sms)
        else:
            began = row.since + ahead
            seen = outcomes.of_verification(row, _left_by_verification(read, began, made))
        told.append((row, seen))
    await inbox.store.write(progress.note, told, found, at=at, remote_at=remote_at)
    inbox.changes.notify()


def _is_just_begun(sms: Sms, now: float | None) -> bool:
    status = (sms.status or "").casefold()
    if status not in outcomes.BEGUN or sms.received_at is None or now is None:
        return False
    return now - sms.received_at.timestamp() <= DAY_SECONDS


def _left_by_verification(read: Sequence[Sms], began: float, made: frozenset[str]) -> Sms | None:
    """The message that a verification has left: one that the number sent since, and no other action of ours, or one
    that came from Google."""
    for sms in sorted(read, key=lambda sms: sms.received_at is not None and sms.received_at.timestamp()):
        if sms.received_at is None or sms.received_at.timestamp() < began - EARLIER_SECONDS:
            continue
        if (sms.is_outbound and sms.id not in made) or (not sms.is_outbound and outcomes.is_googles(sms)):
            return sms
    return None
