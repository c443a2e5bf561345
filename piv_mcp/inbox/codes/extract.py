"""Find the one-time code in an SMS, as a person would type it.

Every group of digits and every unusual word is a candidate. Each candidate gets a score:

* plus the weight of its form (six digits look more like a code than three),
* plus the nearest word that names a code (more if it is near, in the same sentence, and with few
  numbers between),
* plus small signs: a colon before it, a line of its own, written twice,
* minus signs that it is something else: a label directly before it (card ending, order,
  telephone), a unit directly after it, a message about a parcel or a discount, a sentence about a
  wrong or expired code.

The candidate with the highest score above a minimum is the code. The words come from lists in some
ninety languages (`words`).

Conventions:

* Digits of every script are returned in ASCII; letters keep their case.
* Separators are removed: 123-456, 902 118, 12 34 56 and AB12-CD34 are returned without them. Fields
  for such codes accept them without separators, and many accept nothing else.
* Letters before a hyphen and digits are not part of the code: G-123456, FB-12345 and KQJ-337812
  give the digits.
* ``@host #code`` on a line of its own (domain-bound codes, as browsers read them) wins over
  everything else.
* A code that fetches a parcel, opens a door, names an order or a customer, or gives a discount is
  no one-time code. A password or PIN sent for signing in or paying is one.
* A code that is only in a link is taken from a parameter such as ``?code=``, and from nothing else.
"""

from __future__ import annotations

import re
from typing import Final

from piv_mcp.inbox.codes.candidates import Item, ParsedMessage, blank_addresses, parse_message
from piv_mcp.inbox.codes.lexicon import Kind
from piv_mcp.inbox.codes.score import score
from piv_mcp.inbox.codes.signs import CODE_WORDS, join_labels, read_signs
from piv_mcp.inbox.codes.text import fold, normalise

_MIN_SCORE: Final = 3.4
# The candidates that get a score in a message with more of them: a code is near the start or the end.
_FIRST_CANDIDATES, _LAST_CANDIDATES = 16, 8
_DOMAIN_BOUND: Final = re.compile(r"(?m)^@[\w.-]+\.[\w.-]+ #([A-Za-z0-9-]{3,12})(?: [%@][\w.-]+)?\s*$")
_LINK_PARAMETER: Final = re.compile(r"[?&#/](?:code|otp|pin|passcode|token|vc)=([0-9]{4,8})(?![A-Za-z0-9])")


def extract_code(text: str) -> str | None:
    """Return the one-time code in the text of an SMS, as a person would type it, or None."""
    plain = normalise(text)
    bound = _DOMAIN_BOUND.search(plain) if "#" in plain and "@" in plain else None
    if bound is not None:
        code = bound.group(1).replace("-", "")
        if 3 <= len(code) <= 10:
            return code
    folded = blank_addresses(fold(plain))
    message = parse_message(plain, folded)
    places = [index for index, item in enumerate(message.items) if item.value is not None]
    if not places:
        return _code_in_link(plain, message)
    candidates = [message.items[index] for index in places]
    join_labels(message.items, folded)
    signs = read_signs(message)
    if len(places) > _FIRST_CANDIDATES + _LAST_CANDIDATES:
        places = places[:_FIRST_CANDIDATES] + places[-_LAST_CANDIDATES:]
    best, best_score = None, _MIN_SCORE
    for index in places:
        weight = score(message, signs, index, folded)
        if weight > best_score:
            best, best_score = message.items[index].value, weight
    return best or _code_without_words(message, candidates, folded)


def _code_in_link(plain: str, message: ParsedMessage) -> str | None:
    """Return the code from the link of a message that has none in its text."""
    if "=" in plain and any(item.kind in CODE_WORDS or item.kind is Kind.SIGN_IN for item in message.items):
        linked = _LINK_PARAMETER.search(plain)
        if linked is not None:
            return linked.group(1)
    return None


def _code_without_words(message: ParsedMessage, candidates: list[Item], folded: str) -> str | None:
    """Return the code of a message that is nothing else, or whose words are all in an unknown language."""
    candidates = [item for item in candidates if not item.letters] or candidates
    item = candidates[0]
    value = item.value
    if len(candidates) > 1 or value is None or len(value) < 4:
        return None
    before = folded[: item.start].rstrip(" \n\"'([{<*")
    after = folded[item.end :].strip(" \n\"')]}.!>*")
    if not message.words:
        return value if not after and not before.strip("<#>[]: ") else None
    unknown = not message.known and 2 < message.words < 30 and item.weight > 0.4
    if not unknown or any(other.kind is None and other.value is None for other in message.items):
        return None
    placed = not before or before[-1] in ":=-" or (not after and len(value) == 6)
    return value if placed and value.isdigit() and len(value) in (5, 6) else None
