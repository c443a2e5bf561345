"""What a number's SMS history has got since the last look at it: how many messages, which, and how old they are."""

from dataclasses import replace

from piv_mcp.api.numbers import Sms
from piv_mcp.store import polls
from piv_mcp.store.event import CLOCK_TOLERANCE, CREDIBLE_SINCE, StoredEvent


def grown_by(total: int | None, read: list[Sms], last: polls.Look) -> int:
    """How many messages the history has got since the last look, without those of `read` that the number sent."""
    new_outbound = max(0, just_sent(read, last.remote_at) - last.just_sent)
    known = total if last.total is None else last.total
    return (total or 0) - (known or 0) - new_outbound


def just_sent(read: list[Sms], remote_at: float | None) -> int:
    """How many messages that the number sent a look at the time `remote_at` may have been the first to find."""
    return sum(sms.is_outbound and not was_sent_before(sms, remote_at) for sms in read)


def was_sent_before(outbound: Sms, remote_at: float | None) -> bool:
    """Whether the number sent this message long before a look at the time `remote_at`."""
    if outbound.received_at is None or remote_at is None:
        return False
    return CREDIBLE_SINCE < outbound.received_at.timestamp() < remote_at - polls.JUST_SENT_SECONDS


def wanted(found: list[StoredEvent], last: polls.Look, *, kept_since: float, grown: int) -> list[StoredEvent]:
    """The messages of `found`, which the store does not know, that are taken in, the oldest first: those from after
    `kept_since`. `grown` is how many the history has got since the last look."""
    timed = [event for event in found if _has_time(event) and (event.sent_at or 0.0) > kept_since]
    timeless = [event for event in found if not _has_time(event)]
    if last.erased_at:  # they do not say whether they were erased: those that are new have the last ids
        timeless.sort(key=_id_place, reverse=True)
        del timeless[max(0, grown - len(timed)) :]
    return sorted([*timed, *timeless], key=_place)


def misdated(
    found: list[StoredEvent],
    wanted: list[StoredEvent],
    read: list[Sms],
    last: polls.Look,
    *,
    grown: int,
    passed: float | None,
) -> list[StoredEvent]:
    """Those of `found` that are new and say to be too old, without their times. `read` is the whole history.

    If the history has got more messages than are `wanted`, one of them has a wrong date. Those that are new have the
    last ids. `passed`: see `lie_apart`.
    """
    missing = grown - len(wanted)
    if missing <= 0:
        return []
    ids = sorted((sms.id for sms in read if not sms.is_outbound), key=lambda id_: (len(id_), id_))
    newest = set(ids[-grown:])
    others = [event for event in found if event not in wanted and _has_time(event) and event.message_id in newest]
    late = sorted(others, key=_id_place)[-missing:]
    return [] if lie_apart([*wanted, *late], last, passed) else [replace(event, sent_at=None) for event in late]


def lie_apart(messages: list[StoredEvent], last: polls.Look, passed: float | None) -> bool:
    """Whether the messages cannot all have come since the last look, which began `passed` seconds ago: their times lie
    further apart. Then that look was not shown the history.

    Of a history that it saw, times that say "before" may be wrong in the same way beside one that is right.
    """
    times = [event.sent_at for event in messages if event.sent_at is not None and _has_time(event)]
    if last.total != 0 and last.remote_at is not None:
        times = [at for at in times if at < last.remote_at - CLOCK_TOLERANCE]
    return passed is not None and bool(times) and max(times) - min(times) > passed + CLOCK_TOLERANCE


def exceeds(messages: list[StoredEvent], last: polls.Look, total: int | None, *, grown: int) -> bool:
    """Whether these are more messages than the history has got since the last look. Then the store had not taken them
    in, has lost them, or knows them by other ids."""
    return last.total is not None and total is not None and len(messages) > max(0, grown)


def _place(event: StoredEvent) -> tuple[float, int, str]:
    """The order of the list cannot be trusted (see `history_pages`): that of times, then of ids, is taken."""
    return event.sent_at or 0.0, *_id_place(event)


def _id_place(event: StoredEvent) -> tuple[int, str]:
    return len(event.message_id or ""), event.message_id or ""


def _has_time(event: StoredEvent) -> bool:
    """Whether the message says when it was sent. What is dated before piv.day began says nothing."""
    return event.sent_at is not None and event.sent_at > CREDIBLE_SINCE
