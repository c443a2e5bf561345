"""Which text, code and time one message has of which the two sources tell, or of which one tells more than before.

What a webhook tells anybody may have written who knows the address: no code is confirmed by it, and none is replaced
that stands in the history's own text.
"""

import re
from dataclasses import replace
from itertools import pairwise

from piv_mcp.store.event import CLOCK_TOLERANCE, StoredEvent
from piv_mcp.text.sameness import nearly_same

SAME_SMS_SECONDS = 15 * 60
"""The largest difference between the times that webhook and history give to one SMS."""


_MARKS = "\ufffd?"
"""What stands in the place of a character that was replaced."""


def is_same_text(known: StoredEvent, event: StoredEvent) -> bool:
    if known.text_key == event.text_key:
        return True
    return known.text is not None and event.text is not None and nearly_same(known.text, event.text)


def is_damaged(known: StoredEvent, event: StoredEvent) -> bool:
    """Whether one of these texts of the two sources is the other, damaged. Where the history's is the shorter, that may
    be forged as well: a code that is in none but the webhook's then stays what a webhook told."""
    history, webhook = _by_source(known, event)
    if not is_same_text(known, event) or history.text is None or webhook.text is None:
        return False
    return webhook.code is None or _confirms(history, webhook) or len(history.text) > len(webhook.text)


def is_fuller(event: StoredEvent, known: StoredEvent) -> bool:
    """Whether the history now shows more of a message than it did: its parts come one by one."""
    if event.source != "history" or event.text_key == known.text_key:
        return False
    was, shown = known.text or "", event.text or ""
    # In what is only there now, a mark of a lost character is one of a question, or of a link.
    return (_lost(shown[: len(was)]), -len(shown)) < (_lost(was), -len(was))


def grown(known: StoredEvent, event: StoredEvent) -> StoredEvent:
    """The row with the text that the history shows now, and the code that stands in it."""
    row = replace(known, text=event.text, text_key=event.text_key)
    if known.source == "history":
        row = replace(row, payload=event.payload)
    if _confirms(event, known):
        return row
    return coded_as(row, event)


def coded_as(row: StoredEvent, event: StoredEvent) -> StoredEvent:
    """The row with the code of the event, or its link."""
    return replace(row, code=event.code, code_source=event.code_source, link=event.link)


def merged(known: StoredEvent, event: StoredEvent) -> StoredEvent:
    """The row of both sources: with the sender and the text of the history, unless that is damaged, and a code that
    stands in it: the API's, if it does."""
    history, webhook = _by_source(known, event)
    both = replace(known, digest=webhook.digest, message_id=history.message_id, sender=history.sender)
    if _is_better_time(webhook, history, known):  # a row of the history is not as old as its time said
        reached_at = _recorded_remotely(known)
        both = replace(both, sent_at=webhook.sent_at, arrived_at=known.stored_at, reached_at=reached_at, age_known=1)
    else:
        both = replace(both, sent_at=history.sent_at)
    of_api = webhook.code_source == "api" or history.code is None
    coded = webhook if of_api and _confirms(history, webhook) else history
    if history.text_key == webhook.text_key:
        read = known  # they differ in how they are written
    elif _fills_marks(history.text or "", webhook.text or "") and is_same_text(known, event):
        read = webhook
    else:
        read = history
    link = None if coded.code else history.link or read.link
    return replace(coded_as(both, coded), link=link, text=read.text, text_key=read.text_key)


def _is_better_time(webhook: StoredEvent, history: StoredEvent, known: StoredEvent) -> bool:
    """Whether the webhook's time is the message's, and not that of the history: a webhook comes at once, and no message
    is younger than the row of it that was known before."""
    if webhook.sent_at is None:
        return False
    if history.sent_at is None:
        return not _was_absent(history, webhook.sent_at)
    came = webhook.recorded_at if webhook.reached_at is None else webhook.reached_at
    latest = _recorded_remotely(known)
    if latest is not None and webhook.sent_at > latest + CLOCK_TOLERANCE:
        return False
    return abs(came - webhook.sent_at) + SAME_SMS_SECONDS < abs(came - history.sent_at)


def _recorded_remotely(event: StoredEvent) -> float | None:
    """When the event was recorded, on piv.day's clock."""
    return None if event.reached_at is None else event.reached_at + event.age_when_stored


def _was_absent(history: StoredEvent, at: float) -> bool:
    """Whether the history did not show the message for long after the time `at`, on piv.day's clock."""
    return bool(history.age_known) and history.reached_at is not None and at < history.reached_at - CLOCK_TOLERANCE


def _by_source(known: StoredEvent, event: StoredEvent) -> tuple[StoredEvent, StoredEvent]:
    """The history's of two that are one message, and the webhook's."""
    return (event, known) if event.source == "history" else (known, event)


def _confirms(history: StoredEvent, row: StoredEvent) -> bool:
    """Whether the code of the row stands in the history's own text."""
    if row.code is None or history.text is None:
        return False
    if row.code == history.code or row.text_key == history.text_key:
        return True
    return re.search(rf"(?<![^\W_]){re.escape(row.code)}(?![^\W_])", history.text, re.ASCII) is not None


def _fills_marks(damaged: str, whole: str) -> bool:
    """Whether a text is the damaged one with single characters in the place of its marks: more may be forged."""
    if len(damaged) != len(whole):
        return False
    filled = [place for place, (was, is_) in enumerate(zip(damaged, whole, strict=True)) if was != is_]
    apart = all(later - place > 1 for place, later in pairwise(filled))
    return apart and all(damaged[place] in _MARKS and not whole[place].isascii() for place in filled)


def _lost(text: str) -> int:
    """How many characters of a text were replaced."""
    return sum(map(text.count, _MARKS))
