"""The one-time code in an SMS: what a person would type, or None.

Every group of digits and every odd word is a candidate.  Its score is the weight of its shape,
plus the nearest word that names a code (nearer, in the same sentence and with fewer numbers
between is better), plus small signs (a colon, a line of its own, said twice), minus what it
evidently is instead: the label directly before it (card ending, order, telephone), the unit
directly after it, a message about a parcel or a discount, a sentence about a wrong or expired
code.  The best candidate above a threshold wins.  The words, in some ninety languages, are data.

Conventions:

* Digits of every script are answered in ASCII; letters keep their case.
* Separators go: 123-456, 902 118, 12 34 56 and AB12-CD34 are answered without them.
* A tag of letters before digits is not typed: G-123456, FB-12345, KQJ-337812 are the digits.
* ``@host #code`` on a line of its own is made for machines, and wins outright.
* Codes for fetching a parcel, opening a door, an order, a discount are not one-time codes.
* A code that stands only in a link is taken from ``?code=`` and its like, nowhere else.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from piv_mcp.inbox._code_candidates import Item, Message, read, without_addresses
from piv_mcp.inbox._code_lexicon import Kind
from piv_mcp.inbox._code_text import fold, normalise

_BOUND: Final = re.compile(r"(?m)^@[\w.-]+\.[\w.-]+ #([A-Za-z0-9-]{3,12})(?: [%@][\w.-]+)?\s*$")
_LINKED: Final = re.compile(r"[?&#/](?:code|otp|pin|passcode|token|verification_code|c|vc)=([0-9]{4,8})(?![A-Za-z0-9])")

_WORD_IN_CODE: Final = re.compile("(?=[a-z]*[aeiouy])[a-z]{4,}")
_COMMA: Final = re.compile("[,、)]")

_STOPS: Final = frozenset((".", "!", "?", "\n", "。", "।", ""))
_THRESHOLD: Final = 3.4
_NAMES: Final = {Kind.STRONG: 4.0, Kind.GENERIC: 3.2}
# A label directly before a number says what it is instead: how far it reaches, what it costs.
_LABELS: Final = {
    Kind.CARD: (1.1, 4.5),
    Kind.PHONE: (2.1, 4.5),
    Kind.ORDER: (1.1, 4.0),
    Kind.MONEY: (0.6, 4.5),
    Kind.AMOUNT: (1.1, 4.5),
    Kind.COUPON: (2.1, 3.5),
    Kind.PARCEL: (0.6, 3.0),
    Kind.LABEL: (0.6, 3.5),
    Kind.NUMBER: (0.6, 1.0),
    Kind.OLD: (2.1, 3.0),
}
# ... unless it is part of the name: "the code for your order is".
_FORGIVEN: Final = frozenset((Kind.CARD, Kind.ORDER, Kind.LABEL, Kind.PHONE, Kind.PARCEL, Kind.NUMBER))
_NOT_A_CODE_COST: Final = 7.0
_BESIDE_LETTERS: Final = frozenset((Kind.STRONG, Kind.GENERIC, Kind.COPULA, Kind.ENTER, Kind.USE))
_COMPOUND_SPOILERS: Final = frozenset((Kind.PARCEL, Kind.COUPON, Kind.ORDER, Kind.DOOR))


class _Left(NamedTuple):
    """What stands before a candidate."""

    name: float  # the weight of the best word that names a code
    cost: float  # of the label that says it is something else
    enter: float  # the weight of a verb that asks for it
    linked: bool  # "is" or a colon joins it to a name
    direct: bool  # the name is at its side


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
    candidates = [item for item in message.items if item.value is not None]
    if not candidates:
        return _in_link(plain, message)
    _join_labels(message.items, low)
    best, best_score = None, _THRESHOLD
    for index, item in enumerate(message.items):
        if item.value is not None:
            score = _score(message, index, low)
            if score > best_score:
                best, best_score = item.value, score
    if best is None:
        best = _alone(message, candidates, low)
    return best


def _in_link(plain: str, message: Message) -> str | None:
    """The code of a message that has it only in its link."""
    if "=" in plain and any(item.kind in _NAMES or item.kind is Kind.AUTH for item in message.items):
        linked = _LINKED.search(plain)
        if linked is not None:
            return linked.group(1)
    return None


def _alone(message: Message, candidates: list[Item], low: str) -> str | None:
    """A bare code, or one amid words of a language that is not known here."""
    candidates = [item for item in candidates if not item.letters] or candidates
    if len(candidates) != 1:
        return None
    item = candidates[0]
    value = item.value
    if value is None or len(value) < 4:
        return None
    if not message.words and not low[: item.start].strip(" \n\"'([<#>]:*") and not low[item.end :].strip(" \n\"')].!*"):
        return value
    if message.known or not 2 < message.words < 30 or item.shape < 0.4 or any(i.kind is None and i.value is None for i in message.items):
        return None
    before, after = low[: item.start].rstrip(" \n\"'([{"), low[item.end :].strip(" \n.!")
    placed = not before or before[-1] in ":=-" or (not after and len(value) == 6)
    return value if placed and value.isdigit() and len(value) in (5, 6) else None


def _join_labels(items: list[Item], low: str) -> None:
    """Joins code words with the words beside them: "pick-up code" names none, "login code" one."""
    cues = [item for item in items if item.kind is not None]
    for index, cue in enumerate(cues):
        if cue.kind not in _NAMES:
            continue
        spoiler = False
        for step in (-1, 1):
            at = index + step
            while 0 <= at < len(cues):
                other = cues[at]
                gap = cue.at - other.until if step < 0 else other.at - cue.until
                if other.sentence != cue.sentence or gap > 2.1:
                    break
                if other.start <= cue.start and other.end >= cue.end and other.kind in _COMPOUND_SPOILERS:
                    spoiler = True
                if other.kind is Kind.COPULA or other.kind is Kind.NUMBER or other.start < cue.end and other.end > cue.start:
                    at += step
                    continue
                between = low[other.end : cue.start] if step < 0 else low[cue.end : other.start]
                if ":" in between or any(map(str.isdigit, between)) or "," in between or "=" in between or "," in between:
                    break
                if other.kind is Kind.AUTH and gap <= 1.1:
                    cue.shape = 1.0
                elif other.kind in _COMPOUND_SPOILERS and gap <= (0.1 if step < 0 else 1.1):
                    spoiler = spoiler or cue.kind is Kind.GENERIC or other.kind is not Kind.ORDER
                break
        if spoiler and not cue.shape:
            cue.kind = Kind.NOT_A_CODE


def _score(message: Message, index: int, low: str) -> float:
    items = message.items
    item = items[index]
    left = _look_left(items, index, low)
    name_right, unit_cost, is_named = _look_right(items, index, low, left.direct)
    near = max(left.name, name_right)
    # A label at its side makes up for an odd length.
    score = max(item.shape, 0.3) if (left.direct or is_named) and not item.letters else item.shape
    score += near + 0.2 * min(left.name, name_right) - left.cost * (0.3 if is_named else 1.0) - unit_cost + left.enter
    if item.labelled:
        score += 4.0
    if left.linked:
        score += 1.3
    score += _setting(message, item, low, near)
    return score - _circumstances(message, item)


def _look_left(items: list[Item], index: int, low: str) -> _Left:
    item = items[index]
    before = low[max(0, item.start - 3) : item.start].rstrip(" \n\"'([{「『【《<*")
    linked = colon = before[-1:] in (":", "=")
    best = cost = enter = 0.0
    numbers = 0
    filler = refused = 0.0
    direct = named = False
    label: Kind | None = None
    clear = True
    for at in range(index - 1, -1, -1):
        cue = items[at]
        if cue.end > item.start:
            continue
        if cue.kind is None:
            if not cue.letters:
                numbers += 1
                clear = False
            continue
        distance = item.at - cue.until
        if distance > 40:
            break
        apart = item.sentence - cue.sentence
        kind = cue.kind
        if kind is Kind.COPULA:
            filler += cue.until - cue.at
            if distance < 0.4 and not apart:
                linked = True
        elif kind is Kind.ENTER or kind is Kind.USE:
            if distance < 3.1 and not apart and not numbers:
                enter = max(enter, 1.2 if distance > 0.4 else 1.5 if kind is Kind.USE else 3.0)
                previous = items[at - 1] if at else None
                if previous is not None and previous.kind is Kind.NEVER and cue.at - previous.until < 0.4:
                    refused = 3.5  # "do not use code 4410"
            elif distance < 8 and not apart and not numbers and linked and kind is Kind.ENTER:
                enter = max(enter, 1.5)
        elif kind in _NAMES:
            weight = (_NAMES[kind] + cue.shape) * 0.85**apart / (1 + 0.07 * distance) * 0.85**numbers
            if apart and any(other.kind is Kind.NEVER and other.sentence == cue.sentence for other in items):
                weight *= 0.5
            best = max(best, weight)
            named = True
            if clear and apart < 2 and (distance < 0.4 or (linked and not apart)):
                direct = True
            if label in _FORGIVEN and linked and not apart and not numbers:
                cost = min(cost, 0.6)
            clear = False
        elif kind is Kind.NOT_A_CODE:
            if clear and apart < 2 and distance < 6:
                cost, clear, label = _NOT_A_CODE_COST, False, Kind.OLD
        elif kind is Kind.AUTH:
            weight = 2.6 if distance < 0.4 and not apart else 1.8
            best = max(best, weight * 0.8**apart / (1 + 0.08 * distance))
            named = named or (distance - filler < (3.2 if colon else 1.2) and not apart)
        elif not apart and label is None and kind in _LABELS and (clear or (kind is Kind.PHONE and not numbers)):
            reach, price = _LABELS[kind]
            if kind is Kind.NUMBER:
                filler += 1.0
            elif kind is Kind.MONEY:
                previous = items[at - 1] if at else None
                if distance > reach or (previous and previous.kind is None and cue.at - previous.until < 0.4):
                    continue  # the currency of the amount before it
            elif kind is Kind.PHONE and low.endswith(" to ", 0, item.start):
                reach = 5.0
            elif not clear:
                continue
            if distance - filler <= reach + (kind is Kind.NUMBER) and not _COMMA.search(low, cue.end, item.start):
                cost = max(cost, price)
                label = kind if kind is not Kind.NUMBER else None
    return _Left(best, cost + refused, enter, linked and named, direct)


def _look_right(items: list[Item], index: int, low: str, labelled: bool) -> tuple[float, float, bool]:
    """(weight of the best name after, cost of the unit or label after, whether it "is" that name)"""
    item = items[index]
    best = cost = 0.0
    numbers = 0
    is_named = False
    used = 0.0
    for at in range(index + 1, len(items)):
        cue = items[at]
        if cue.kind is None:
            numbers += not cue.letters
            continue
        distance = cue.at - item.until
        if distance > 25:
            break
        apart = cue.sentence - item.sentence
        kind = cue.kind
        if kind is Kind.COPULA and distance < 0.4 and not apart:
            is_named = True
            after = items[at + 1] if at + 1 < len(items) else None
            if after is not None and after.value and not after.letters and after.at - cue.until < 0.4:
                cost = max(cost, 1.2)  # "the code of card 21312 is 7121312"
        elif kind in _NAMES:
            weight = (_NAMES[kind] + cue.shape) * 0.72**apart / (1 + 0.09 * distance) * 0.6**numbers
            best = max(best, weight)
        elif kind is Kind.ENTER and distance < 3.1 and not apart and not numbers:
            best = max(best, 2.5)
        elif kind is Kind.USE and distance < 1.1 and not apart:
            used = 0.9
        elif kind is Kind.AUTH:
            best = max(best, 1.6 * 0.7**apart / (1 + 0.1 * distance) * 0.7**numbers)
        elif kind is Kind.NOT_A_CODE:
            if not apart and distance < 5 and not best and not numbers:
                cost = max(cost, _NOT_A_CODE_COST)
        elif distance < 0.4 and not apart and not low[item.end : cue.start].strip(" -"):
            if kind in (Kind.TIME, Kind.MONEY):
                cost = 5.0
            elif not labelled and kind in (Kind.ORDER, Kind.COUPON, Kind.CARD):
                # "558120 numaralı siparişiniz", but "551204 nolu şifre"
                after = items[at + 1] if at + 1 < len(items) else None
                if after is None or after.kind not in _NAMES or after.at - cue.until > 0.2:
                    cost = 3.5
    is_named = is_named and best > 1.0
    return best + is_named + used, cost, is_named


def _setting(message: Message, item: Item, low: str, near: float) -> float:
    """Small signs: quotes, a line of its own, the same code twice, its place in the message."""
    plain, value = message.plain, item.value or ""
    bonus = 0.0 if item.start else 0.4
    before, after = plain[item.start - 1 : item.start] if item.start else "\n", plain[item.end : item.end + 1] or "\n"
    if before in "\"'([{「『【《“‘<*" and after in "\"')]}」』】》”’>*":
        bonus += 0.5
    line_start = plain.rfind("\n", 0, item.start) + 1
    line_end = plain.find("\n", item.end)
    line = plain[line_start : line_end if line_end >= 0 else len(plain)]
    if len(line) - (item.end - item.start) < 3 and len(plain) > len(line):
        bonus += 1.3 if not item.letters else 1.6
    elif plain[: item.start].rstrip()[-1:] in _STOPS and plain[item.end :].lstrip(" ")[:1] in _STOPS:
        bonus += 0.8 if item.letters else 1.3
    if plain.count(value) > 1 and len(value) > 3:
        bonus += 1.0
    if not item.letters and not value.isdigit():
        word = _WORD_IN_CODE.search(low, item.start, item.end)
        if word is not None:  # SAVE20, PIZZA4U, jane1988
            bonus -= 1.5 + (low.count(word.group()) > 1)
    if item.letters:
        bonus += _letters(message, item, low, near)
    return bonus


def _letters(message: Message, item: Item, low: str, near: float) -> float:
    """A word of letters alone needs a label at its side, or a line of its own."""
    plain = message.plain
    before = plain[: item.start].rstrip(" \n\"'([「【")[-1:]
    after = plain[item.end :].lstrip("\"')]」】 ")[:1]
    bonus = -1.5
    beside = False
    for cue in message.items:
        if cue.kind in _BESIDE_LETTERS and (0 <= item.at - cue.until < 0.4 or cue.kind is Kind.COPULA and 0 <= cue.at - item.until < 0.4):
            beside = True
    if before in (":", "=") or beside:
        bonus += 1.5
    if after and after not in ".,\n!;。、" and (after.isupper() or not (item.value or "").isupper()):
        bonus -= 1.0
    upper = sum(map(str.isupper, plain))
    if item.value and item.value.isupper() and upper * 2 > len(plain) - plain.count(" "):
        bonus -= 1.5
    if low.count(low[item.start : item.end]) > 1 and f"{item.value}" != plain.strip():
        bonus -= 0.5
    return bonus


def _circumstances(message: Message, item: Item) -> float:
    """What the rest of the message says against there being a code here."""
    items = message.items
    cost = valid = 0.0
    parcel = 0
    courier = 0
    wrong = parcel_here = False
    coupon = "%" in message.plain
    named = signing = False
    for cue in items:
        kind = cue.kind
        if kind is Kind.PARCEL or kind is Kind.NOT_A_CODE:
            parcel += 1
            parcel_here = parcel_here or cue.sentence == item.sentence
        elif kind is Kind.VALID:
            valid = 0.6
        elif kind is Kind.COURIER:
            courier += 1 if cue.sentence != item.sentence else 2
        elif kind is Kind.AUTH:
            signing = True
        elif kind is Kind.COUPON:
            coupon = True
        elif kind is Kind.STRONG or (kind is Kind.GENERIC and cue.shape):
            named = True
        elif kind is Kind.INVALID:
            if cue.sentence == item.sentence:
                between = [
                    other.kind
                    for other in items
                    if other.kind in (Kind.ENTER, Kind.USE, Kind.STRONG, Kind.GENERIC) and cue.until <= other.at < item.at
                ]
                if not between:
                    cost += 4.0
            wrong = True
    if parcel:
        cost += 0.8 if signing else (2.8 if parcel == 1 else 4.2) + (0.6 if parcel_here else 0.0)
    if courier:
        cost += 4.0 if parcel or courier > 1 else 2.0
    if coupon:
        cost += 0.6 if named else 1.2 if signing else 2.2
    if wrong:
        cost += 0.5
    return cost - valid
