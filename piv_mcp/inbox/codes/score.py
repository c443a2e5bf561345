"""The weight of each candidate: by the words before and after it, its setting, and the message.

The numbers are weights found by hand on the part of the corpus kept for developing; their
scale is set by the six digits of a common code (2), a word that names one (3 to 5) and a label
that says it is something else (3 to 7).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.candidates import Item, Message
from piv_mcp.inbox.codes.lexicon import Kind
from piv_mcp.inbox.codes.signs import NAMES, Signs

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
_BESIDE_LETTERS: Final = frozenset((Kind.STRONG, Kind.GENERIC, Kind.COPULA, Kind.ENTER, Kind.USE))
_NOT_A_CODE_COST: Final = 7.0
_NEXT: Final = 0.4  # the distance within which nothing stands between two words
_COMMA: Final = re.compile("[,、)]")
_WORD_IN_CODE: Final = re.compile("(?=[a-z]*[aeiouy])[a-z]{4,}")
_STOPS: Final = frozenset((".", "!", "?", "\n", "。", "।", ""))
_OPEN, _CLOSE = "\"'([{「『【《“‘<*", "\"')]}」』】》”’>*"


class Before(NamedTuple):
    """What stands before a candidate."""

    name: float  # the weight of the best word that names a code
    cost: float  # of the label that says it is something else
    enter: float  # the weight of a verb that asks for it
    linked: bool  # "is" or a colon joins it to a name
    direct: bool  # the name is at its side


class After(NamedTuple):
    """What stands after a candidate."""

    name: float  # the weight of the best word that names a code
    cost: float  # of the unit or label that says it is something else
    named: bool  # it "is" that name


def score(message: Message, signs: Signs, index: int, low: str) -> float:
    """How likely the candidate at an index of the items is the code of the message."""
    items = message.items
    item = items[index]
    before = _look_before(items, signs, index, low)
    after = _look_after(items, index, low, before.direct)
    total = item.shape
    if (before.direct or after.named) and not item.letters:
        total = max(total, 0.3)  # a name at its side makes up for an odd length
    total += max(before.name, after.name) + 0.2 * min(before.name, after.name) + before.enter
    total -= before.cost * (0.3 if after.named else 1.0) + after.cost
    if item.labelled:
        total += 4.0
    if before.linked:
        total += 1.3
    return total + _setting(message, item, low) - _circumstances(items, signs, item)


def _look_before(items: list[Item], signs: Signs, index: int, low: str) -> Before:
    item = items[index]
    colon = low[max(0, item.start - 3) : item.start].rstrip(" \n" + _OPEN)[-1:] in (":", "=")
    linked, direct, named = colon, False, False
    name = cost = enter = refused = filler = 0.0
    numbers = 0
    label: Kind | None = None
    clear = True  # no name and no number since the candidate
    for at in range(index - 1, -1, -1):
        cue = items[at]
        if cue.end > item.start:
            continue
        kind = cue.kind
        if kind is None:
            if not cue.letters:
                numbers += 1
                clear = False
            continue
        distance = item.at - cue.until
        if distance > 40:
            break
        apart = item.sentence - cue.sentence
        if kind is Kind.COPULA:
            filler += cue.until - cue.at
            linked = linked or (distance < _NEXT and not apart)
        elif kind is Kind.ENTER or kind is Kind.USE:
            if apart or numbers or distance >= 8:
                continue
            if distance < 3.1:
                enter = max(enter, 1.2 if distance > _NEXT else 1.5 if kind is Kind.USE else 3.0)
                previous = items[at - 1] if at else cue
                if previous.kind is Kind.NEVER and cue.at - previous.until < _NEXT:
                    refused = 3.5  # "do not use code 4410"
            elif linked and kind is Kind.ENTER:
                enter = max(enter, 1.5)
        elif kind in NAMES:
            fading = 0.04 if linked and not apart else 0.07
            weight = (NAMES[kind] + cue.shape) * 0.85 ** (apart + numbers) / (1 + fading * distance)
            name_here = not apart or cue.sentence not in signs.warned_in
            if not name_here:  # "never share your code": the next sentence has a number to call
                weight *= 0.5 if low[: item.start].rstrip()[-1:] in ("!", ".") else 0.3
            name = max(name, weight)
            named = named or name_here
            if clear and apart < 2 and (distance < _NEXT or (linked and not apart)):
                direct = True
            if label in _FORGIVEN and linked and not apart and not numbers:
                cost = min(cost, 0.6)
            clear = False
        elif kind is Kind.NOT_A_CODE:
            if clear and apart < 2 and distance < 6:
                cost, clear, label = _NOT_A_CODE_COST, False, kind
        elif kind is Kind.AUTH:
            weight = 2.6 if distance < _NEXT and not apart else 1.8
            name = max(name, weight * 0.8**apart / (1 + 0.08 * distance))
            named = named or (not apart and distance - filler < (3.2 if colon else 1.2))
        elif kind in _LABELS and not apart and label is None and not numbers:
            reach, price = _LABELS[kind]
            if kind is Kind.PHONE and low.endswith(" to ", 0, item.start):
                reach = 5.0  # "text CODE to 60022"
            elif not clear:
                continue
            if kind is Kind.NUMBER:
                filler += 1.0
            elif kind is Kind.MONEY:
                previous = items[at - 1] if at else cue
                if distance > reach or (previous.kind is None and cue.at - previous.until < _NEXT):
                    continue  # the currency of the amount before it
            if distance - filler <= reach - (kind is Kind.NUMBER) and not _COMMA.search(low, cue.end, item.start):
                cost = max(cost, price)
                label = kind if kind is not Kind.NUMBER else None
    return Before(name, cost + refused, enter, linked and named, direct)


def _look_after(items: list[Item], index: int, low: str, labelled: bool) -> After:
    item = items[index]
    name = cost = used = 0.0
    numbers = 0
    copula = False
    for at in range(index + 1, len(items)):
        cue = items[at]
        kind = cue.kind
        if kind is None:
            numbers += not cue.letters
            continue
        distance = cue.at - item.until
        if distance > 25:
            break
        apart = cue.sentence - item.sentence
        if kind in NAMES:
            weight = (NAMES[kind] + cue.shape) * 0.72**apart / (1 + 0.09 * distance)
            name = max(name, weight * 0.6**numbers)
        elif kind is Kind.AUTH:
            name = max(name, 1.6 * 0.7 ** (apart + numbers) / (1 + 0.1 * distance))
        elif apart:
            if apart == 1 and distance < 1.1 and not numbers:  # "5512. Type this in"
                name = max(name, 2.0 if kind is Kind.ENTER else 0.0)
                used = max(used, 0.6 if kind is Kind.USE else 0.0)
        elif kind is Kind.COPULA and distance < _NEXT:
            copula = True
            after = items[at + 1] if at + 1 < len(items) else cue
            if after.value and not after.letters and after.at - cue.until < _NEXT:
                cost = max(cost, 1.2)  # "the code of card 21312 is 7121312"
        elif kind is Kind.ENTER and distance < 3.1 and not numbers:
            name = max(name, 2.5)
        elif kind is Kind.USE and distance < 1.1:
            used = 0.9
        elif kind is Kind.NOT_A_CODE:
            if distance < 5 and not name and not numbers:
                cost = max(cost, _NOT_A_CODE_COST)
        elif distance < _NEXT and not low[item.end : cue.start].strip(" -"):
            if kind in (Kind.TIME, Kind.MONEY):
                cost = 5.0
            elif not labelled and kind in (Kind.ORDER, Kind.COUPON, Kind.CARD):
                # "558120 numaralı siparişiniz", but "551204 nolu şifre"
                after = items[at + 1] if at + 1 < len(items) else cue
                if after.kind not in NAMES or after.at - cue.until > 0.2:
                    cost = 3.5
    named = copula and name > 1.0
    return After(name + named + used, cost, named)


def _setting(message: Message, item: Item, low: str) -> float:
    """Small signs: quotes, a line or sentence of its own, said twice, its place in the message."""
    plain, value = message.plain, item.value or ""
    start, end = item.start, item.end
    bonus = 0.0 if start else 0.4
    if start and plain[start - 1] in _OPEN and plain[end : end + 1] in _CLOSE and end < len(plain):
        bonus += 0.5
    line_start = plain.rfind("\n", 0, start) + 1
    line_end = plain.find("\n", end)
    length = (line_end if line_end >= 0 else len(plain)) - line_start
    alone = length - (end - start) < 3 and len(plain) > length
    if alone:
        bonus += 1.6 if item.letters else 1.3
    elif plain[:start].rstrip()[-1:] in _STOPS and plain[end : end + 9].lstrip(" ")[:1] in _STOPS:
        bonus += 0.8 if item.letters else 1.3
    if plain.count(value) > 1 and len(value) > 3:
        bonus += 1.0
    if item.letters:
        bonus += _letters(message, item, low, alone)
    elif not value.isdigit():
        word = _WORD_IN_CODE.search(low, start, end)
        if word is not None:  # SAVE20, PIZZA4U, jane1988
            bonus -= 1.5 + (low.count(word.group()) > 1)
    return bonus


def _letters(message: Message, item: Item, low: str, alone: bool) -> float:
    """A word of letters alone needs a label at its side, or a line of its own."""
    plain, value = message.plain, item.value or ""
    before = plain[: item.start].rstrip(" \n\"'([「【")[-1:]
    after = plain[item.end :].lstrip("\"')]」】 ")[:1]
    bonus = -1.5
    if (
        before in (":", "=")
        or (alone and item.shape > 0)
        or any(
            cue.kind in _BESIDE_LETTERS
            and (0 <= item.at - cue.until < _NEXT or (cue.kind is Kind.COPULA and 0 <= cue.at - item.until < _NEXT))
            for cue in message.items
        )
    ):
        bonus += 1.5
    if after and after not in ".,\n!;。、" and (after.isupper() or not value.isupper()):
        bonus -= 1.0
    if value.isupper() and sum(map(str.isupper, plain)) * 2 > len(plain) - plain.count(" "):
        bonus -= 1.5  # the whole message shouts
    if low.count(low[item.start : item.end]) > 1 and value != plain.strip():
        bonus -= 0.5
    return bonus


def _circumstances(items: list[Item], signs: Signs, item: Item) -> float:
    """What the rest of the message says against there being a code here."""
    sentence = item.sentence
    cost = -0.6 if signs.valid else 0.0
    if signs.parcels:
        if signs.signing:
            cost += 0.8
        else:
            cost += (2.8 if signs.parcels == 1 else 4.2) + (0.6 if sentence in signs.parcel_in else 0.0)
    if signs.courier_in:
        cost += 4.0 if signs.parcels or sentence in signs.courier_in else 2.0
    if signs.coupon:
        cost += 0.6 if signs.named else 1.2 if signs.signing else 2.2
        if sentence in signs.coupon_in and not signs.signing:
            cost += 1.5
    if signs.invalid:
        cost += 0.5
        cost += 4.0 * any(cue.sentence == sentence and _spoils(items, cue, item) for cue in signs.invalid)
    return cost


def _spoils(items: list[Item], wrong: Item, item: Item) -> bool:
    """Whether "wrong" or "expired" is said of this candidate and not of another in its sentence."""
    if item.at < wrong.at:
        return True
    beside = False
    for other in items:
        if other.sentence != wrong.sentence or other is item:
            continue
        if other.value is not None and not other.letters and other.at < wrong.at:
            return False  # "the old code 1234 is invalid, the new one 5678"
        if wrong.until <= other.at < item.at:
            if other.kind is Kind.ENTER or other.kind is Kind.USE:
                return False
            if other.kind in NAMES:
                beside = beside or other.at - wrong.until < _NEXT
                if not beside:
                    return False  # "failed login: your code is 1234"
    return True
