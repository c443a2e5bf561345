"""The one-time code in an SMS: what a person would type, or None.

Every group of digits and every odd word is a candidate.  Its score is the weight of its shape,
plus the nearest word that names a code (nearer, in the same sentence and with fewer numbers
between is better), plus small signs (a colon, a line of its own, said twice), minus what it
evidently is instead: the label directly before it (card ending, order, telephone), the unit
directly after it, a message about a parcel or a discount, a sentence about a wrong or expired
code.  The best candidate above a threshold wins.  The words, of some ninety languages, are data.

Conventions:

* Digits of every script are answered in ASCII; letters keep their case.
* Separators go: 123-456, 902 118, 12 34 56 and AB12-CD34 are answered without them, because
  fields that take such codes take them so, and many take them only so.
* A tag of letters before digits is not typed: G-123456, FB-12345, KQJ-337812 are the digits.
* ``@host #code`` on a line of its own is made for machines, and wins outright.
* What fetches a parcel, opens a door, names an order or a customer, or earns a discount is no
  one-time code; a password or PIN sent for signing in or paying is one.
* A code that stands only in a link is taken from ``?code=`` and its like, nowhere else.
"""

from __future__ import annotations

import re
from typing import Final

from piv_mcp.inbox.codes.candidates import Item, Message, read, without_addresses
from piv_mcp.inbox.codes.lexicon import Kind
from piv_mcp.inbox.codes.score import score
from piv_mcp.inbox.codes.signs import NAMES, join_labels, read_signs
from piv_mcp.inbox.codes.text import fold, normalise

_THRESHOLD: Final = 3.4
# More candidates than a message has; the code is near the start or the end.
_FIRST, _LAST = 16, 8
_BOUND: Final = re.compile(r"(?m)^@[\w.-]+\.[\w.-]+ #([A-Za-z0-9-]{3,12})(?: [%@][\w.-]+)?\s*$")
_LINKED: Final = re.compile(r"[?&#/](?:code|otp|pin|passcode|token|vc)=([0-9]{4,8})(?![A-Za-z0-9])")


def extract_code(text: str) -> str | None:
    """The one-time code in the text of an SMS, as it would be typed; None where there is none."""
    plain = normalise(text)
    bound = _BOUND.search(plain) if "#" in plain and "@" in plain else None
    if bound is not None:
        code = bound.group(1).replace("-", "")
        if 3 <= len(code) <= 10:
            return code
    low = without_addresses(fold(plain))
    message = read(plain, low)
    places = [index for index, item in enumerate(message.items) if item.value is not None]
    if not places:
        return _in_link(plain, message)
    candidates = [message.items[index] for index in places]
    join_labels(message.items, low)
    signs = read_signs(message)
    best, best_score = None, _THRESHOLD
    for index in places if len(places) <= _FIRST + _LAST else places[:_FIRST] + places[-_LAST:]:
        weight = score(message, signs, index, low)
        if weight > best_score:
            best, best_score = message.items[index].value, weight
    return best or _alone(message, candidates, low)


def _in_link(plain: str, message: Message) -> str | None:
    """The code of a message that has it only in its link."""
    if "=" in plain and any(item.kind in NAMES or item.kind is Kind.AUTH for item in message.items):
        linked = _LINKED.search(plain)
        if linked is not None:
            return linked.group(1)
    return None


def _alone(message: Message, candidates: list[Item], low: str) -> str | None:
    """A bare code, or one amid words of a language that is not known here."""
    candidates = [item for item in candidates if not item.letters] or candidates
    item = candidates[0]
    value = item.value
    if len(candidates) > 1 or value is None or len(value) < 4:
        return None
    before = low[: item.start].rstrip(" \n\"'([{<*")
    after = low[item.end :].strip(" \n\"')]}.!>*")
    if not message.words:
        return value if not after and not before.strip("<#>[]: ") else None
    unknown = not message.known and 2 < message.words < 30 and item.shape > 0.4
    if not unknown or any(other.kind is None and other.value is None for other in message.items):
        return None
    placed = not before or before[-1] in ":=-" or (not after and len(value) == 6)
    return value if placed and value.isdigit() and len(value) in (5, 6) else None
