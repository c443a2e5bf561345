"""What the SMS history tells of messages that a number sends, and of verifications by Google."""

from collections.abc import Sequence
from dataclasses import replace

from piv_mcp.api.numbers import Sms
from piv_mcp.inbox import outcomes, progress
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.outcomes import Told
from piv_mcp.store import journal, pending
from piv_mcp.store.pending import Pending
from piv_mcp.store.polls import Look
from piv_mcp.text.times import DAY_SECONDS

EARLIER_SECONDS = 5.0
"""A message may say that it is so much older than the verification that has left it: times are of several clocks."""


async def note(inbox: Inbox, piv_num_id: str, read: Sequence[Sms], look: Look, last: Look) -> None:
    """Note what the messages that a look has read tell; `last` is the look before it.

    Raises:
        StoreError: nothing was noted.
    """
    at, remote_at = look.at, look.remote_at
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
    told: list[tuple[Pending, Told]] = []
    for row in rows:
        if row.kind == "message":
            sms = sent.get(row.id)
            seen = Told(row.state or "") if sms is None else outcomes.of_message(row, sms)
        else:
            began = row.known.get("began") or _began(row, look, last)
            seen = outcomes.of_verification(row, _left_by_verification(read, began, made))
            seen = replace(seen, facts={**row.known, "began": began})
        told.append((row, seen))
    await inbox.store.write(progress.note, told, found, at=at, remote_at=remote_at)
    inbox.changes.notify()


def _began(row: Pending, look: Look, last: Look) -> float:
    """When a verification began, on piv.day's clock. This machine's may have been set since: of what the two looks make
    of its time, the later that has come."""
    aheads = [seen.remote_at - seen.at for seen in (look, last) if seen.was_made and seen.remote_at is not None]
    now = row.since if look.remote_at is None else look.remote_at
    return max((row.since + ahead for ahead in aheads if row.since + ahead <= now + EARLIER_SECONDS), default=now)


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
