"""Find the one-time code in an SMS, as a person would type it.

The text is repaired first (`repair`): wrong encodings, entities and marks are undone, and digits that
stand apart are put together. Then every group of digits and every unusual word is a candidate. Each
candidate gets a score:

* plus the weight of its form (six digits look more like a code than three),
* plus the nearest word that names a code (more if it is near, in the same sentence, and with few
  numbers between),
* plus small signs: a colon before it, a line of its own, written twice,
* plus a bonus if it is the only number of a message that names nothing ("Nimbus: 664120"), which is
  less with each unknown word,
* minus signs that it is something else: a label directly before it (card ending, order,
  telephone), a unit directly after it, a message about a parcel, a discount or something else that a
  secret opens (a door, a wireless network, a ride), a sentence about a wrong or expired code.

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
* A code that fetches a parcel, opens a door, a SIM card (PUK), a wireless network, a meeting or a ride,
  names an order or a customer, or gives a discount is no one-time code. A password or PIN sent for
  signing in or paying is one.
* A brand and a number alone are a code, and so is a number alone: nothing else is sent to a number that
  was rented for codes. A label beside the number says otherwise ("Balance: 1200").
* The shown end of a masked number (***-4471) is no code.
* A code that is only in a link is taken from a parameter such as ``?code=``, and from nothing else.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.candidates import ParsedMessage, blank_addresses, parse_message
from piv_mcp.inbox.codes.lexicon import Kind
from piv_mcp.inbox.codes.numbers import MAX_SIZE, MIN_SIZE
from piv_mcp.inbox.codes.score import score
from piv_mcp.inbox.codes.signs import CODE_WORDS, join_labels, read_signs
from piv_mcp.inbox.codes.text import fold, normalise

_MIN_SCORE: Final = 3.4
# The candidates that get a score in a message with more of them: a code is near the start or the end.
_FIRST_CANDIDATES, _LAST_CANDIDATES = 16, 8
_DOMAIN_BOUND: Final = re.compile(r"(?m)^@[\w.-]+\.[\w.-]+ #([A-Za-z0-9-]{3,12})(?: [%@][\w.-]+)?\s*$")
_LINK_PARAMETER: Final = re.compile(r"[?&#/](?:code|otp|pin|passcode|vc)=([0-9]{4,8})(?![A-Za-z0-9])")


class Reading(NamedTuple):
    """What was read in a text: the code, and each candidate for it with its score."""

    code: str | None
    candidates: list[tuple[str, float]]


def extract_code(text: str) -> str | None:
    """Return the one-time code in the text of an SMS, as a person would type it, or None."""
    return read_text(text).code


def read_text(text: str) -> Reading:
    """Find the one-time code in the text of an SMS, and what else may be one."""
    plain = normalise(text)
    folded = blank_addresses(fold(plain))
    message = parse_message(plain, folded)
    places = [index for index, item in enumerate(message.items) if item.value is not None]
    if len(places) > _FIRST_CANDIDATES + _LAST_CANDIDATES:
        places = places[:_FIRST_CANDIDATES] + places[-_LAST_CANDIDATES:]
    if places:
        join_labels(message.items, folded)
        signs = read_signs(message)
        candidates = [(message.items[at].value or "", score(message, signs, at, folded)) for at in places]
        code, best = max(candidates, key=itemgetter(1))
        found = code if best > _MIN_SCORE else None
    else:
        candidates = []
        found = _code_in_link(plain, message)
    return Reading(_domain_bound_code(plain) or found, candidates)


def _domain_bound_code(plain: str) -> str | None:
    bound = _DOMAIN_BOUND.search(plain) if "#" in plain and "@" in plain else None
    code = bound.group(1).replace("-", "") if bound is not None else ""
    return code if MIN_SIZE <= len(code) <= MAX_SIZE else None


def _code_in_link(plain: str, message: ParsedMessage) -> str | None:
    """Return the code from the link of a message that has none in its text."""
    if "=" in plain and any(item.kind in CODE_WORDS or item.kind is Kind.SIGN_IN for item in message.items):
        linked = _LINK_PARAMETER.search(plain)
        if linked is not None:
            return linked.group(1)
    return None
