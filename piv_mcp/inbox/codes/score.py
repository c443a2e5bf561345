"""Score a candidate by the words before and after it, its place in the text, and the whole message.

The weights were tuned by hand on the development part of the corpus. Their scale: a form of six
digits has 2, a word that names a code 3 to 5, a label of another kind of number costs 3 to 7.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.candidates import Item, ParsedMessage
from piv_mcp.inbox.codes.lexicon import Kind
from piv_mcp.inbox.codes.signs import CODE_WORDS, Signs

# Labels of other numbers, directly before a number: the greatest distance in words, and the cost.
_OTHER_LABELS: Final = {
    Kind.CARD: (1.1, 4.5),
    Kind.PHONE: (2.1, 4.5),
    Kind.ORDER: (1.1, 4.0),
    Kind.MONEY: (0.6, 4.5),
    Kind.AMOUNT: (1.1, 4.5),
    Kind.COUPON: (2.1, 3.5),
    Kind.PARCEL: (0.6, 3.0),
    Kind.OTHER_LABEL: (0.6, 3.5),
    Kind.NUMBER: (0.6, 1.0),
    Kind.OLD: (2.1, 3.0),
}
# These labels cost less as part of a code's name: "the code for your order is 1234".
_PART_OF_A_NAME: Final = frozenset((Kind.CARD, Kind.ORDER, Kind.OTHER_LABEL, Kind.PHONE, Kind.PARCEL, Kind.NUMBER))
# A code without digits needs one of these beside it.
_BESIDE_LETTERS: Final = frozenset((Kind.ONE_TIME_CODE, Kind.CODE, Kind.COPULA, Kind.ENTER, Kind.USE))
_NOT_A_CODE_COST: Final = 7.0
_APPROVAL: Final = re.compile("auth|autori[sz]a|confirmati|confirmac|conferma$|approval|aprobac|aprovac")
_ADJACENT: Final = 0.4  # in words: at a smaller distance no word stands between two others
_COMMA: Final = re.compile("[,、)]")
_WORD_IN_CODE: Final = re.compile("(?=[a-z]*[aeiouy])[a-z]{4,}")
_SENTENCE_EDGES: Final = frozenset((".", "!", "?", "\n", "。", "।", ""))
_OPEN, _CLOSE = "\"'([{「『【《“‘<*", "\"')]}」』】》”’>*"


class Before(NamedTuple):
    """What the words before a candidate say about it."""

    name: float  # the weight of the best word that names a code
    cost: float  # of a label of another kind of number
    enter: float  # the weight of a verb such as "enter"
    linked: bool  # "is" or a colon stands directly before the candidate
    named: bool  # a name is near
    direct: bool  # the name is beside the candidate


class After(NamedTuple):
    """What the words after a candidate say about it."""

    name: float  # the weight of the best word that names a code
    cost: float  # of a unit or label of another kind of number
    named: bool  # "is" stands between the candidate and the name: "1234 is your code"


def score(message: ParsedMessage, signs: Signs, index: int, folded: str) -> float:
    """How likely the candidate at `index` of the message's items is its code: higher is likelier."""
    items = message.items
    item = items[index]
    before = _look_before(items, signs, index, folded)
    after = _look_after(items, index, folded, before.direct)
    total = item.weight
    if (before.direct or after.named) and not item.letters:
        total = max(total, 0.3)  # a name beside a number makes up for an unusual length
    total += max(before.name, after.name) + 0.2 * min(before.name, after.name) + before.enter
    total -= before.cost * (0.3 if after.named else 1.0) + after.cost
    if item.labelled:
        total += 4.0
    value = item.value or ""
    bare = value == signs.bare and len(value) > 3 and (value.isdigit() or before.linked or not message.words)
    if bare:
        total += _bare_bonus(message, item)
    if before.linked and (before.named or bare):
        total += 1.3
    return total + _place_bonus(message, item, folded) - _message_cost(items, signs, item)


def _bare_bonus(message: ParsedMessage, item: Item) -> float:
    """The bonus of the only number in a message that names nothing: less with each unknown word."""
    if not message.words:
        return 6.0
    ends_line = message.plain[item.end : item.end + 9].lstrip(" .!*\"')]}>")[:1] in ("", "\n")
    return max(0.0, 2.4 - 0.2 * (message.words - message.known)) + 0.5 * ends_line


def _look_before(items: list[Item], signs: Signs, index: int, folded: str) -> Before:
    item = items[index]
    colon = folded[max(0, item.start - 6) : item.start].rstrip(" \n" + _OPEN)[-1:] in (":", "=")
    linked, direct, named = colon, False, False
    name = cost = enter = refused = filler = 0.0
    numbers = 0
    label: Kind | None = None
    clear = True  # no name and no number stands between this word and the candidate
    verb = False  # one does: "to unlock your account enter 5904"
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
        distance = item.word_start - cue.word_end
        if distance > 40:
            break
        apart = item.sentence - cue.sentence
        if kind is Kind.COPULA:
            filler += cue.word_end - cue.word_start
            linked = linked or (distance < _ADJACENT and not apart)
        elif kind is Kind.ENTER or kind is Kind.USE:
            if apart or numbers or distance >= 8:
                continue
            if distance < 3.1:
                verb = verb or kind is Kind.ENTER
                purpose = 0.9 * folded.startswith(" to ", item.end)  # "use 1234 to sign in"
                enter = max(enter, 1.2 if distance > _ADJACENT else 1.5 + purpose if kind is Kind.USE else 3.0)
                previous = items[at - 1] if at else cue
                if previous.kind is Kind.NEGATION and cue.word_start - previous.word_end < _ADJACENT:
                    refused = 3.5  # "do not use code 4410"
            elif linked and kind is Kind.ENTER:
                enter = max(enter, 1.5)
        elif kind in CODE_WORDS:
            fading = 0.04 if linked and not apart else 0.07
            weight = (CODE_WORDS[kind] + cue.weight) * 0.85 ** (apart + numbers) / (1 + fading * distance)
            name_here = not apart or cue.sentence not in signs.warning_sentences
            if not name_here:  # after "never share your code" the next sentence may give a number to call
                weight *= 0.5 if folded[: item.start].rstrip()[-1:] in ("!", ".") else 0.3
            name = max(name, weight)
            named = named or name_here
            if clear and apart < 2 and (distance < _ADJACENT or (linked and not apart)):
                direct = True
            if label in _PART_OF_A_NAME and linked and not apart and not numbers:
                cost = min(cost, 0.6)
            clear = False
        elif kind is Kind.NOT_A_CODE:
            if clear and apart < 2 and distance < 6:
                cost, clear, label = _NOT_A_CODE_COST, False, kind
        elif (
            kind is Kind.SIGN_IN
            and signs.receipt
            and distance - filler < _ADJACENT
            and not apart
            and _APPROVAL.match(folded, cue.start, cue.end)
        ):
            cost = max(cost, 3.5)  # "Purchase of 20.00 on card 4471. Authorisation 551204"
        elif kind is Kind.SIGN_IN:
            weight = 2.6 if distance < _ADJACENT and not apart else 1.8
            name = max(name, weight * 0.8**apart / (1 + 0.08 * distance))
            named = named or (not apart and distance - filler < (3.2 if colon else 1.2))
        elif kind in _OTHER_LABELS and not apart and label is None and not numbers and not verb:
            reach, price = _OTHER_LABELS[kind]
            if kind is Kind.PHONE and folded.endswith(" to ", 0, item.start):
                reach = 5.0  # "text CODE to 60022"
            elif not clear and kind is not Kind.OLD:
                continue
            if kind is Kind.OLD and clear and distance > _ADJACENT:
                continue  # no word for a code stands between: "Old Kiln Bakery: 1234"
            if kind is Kind.NUMBER:
                filler += 1.0
            elif kind is Kind.MONEY:
                previous = items[at - 1] if at else cue
                if distance > reach or (previous.kind is None and cue.word_start - previous.word_end < _ADJACENT):
                    continue  # this currency belongs to the amount before the currency
            if distance - filler <= reach - (kind is Kind.NUMBER) and not _COMMA.search(folded, cue.end, item.start):
                cost = max(cost, price)
                label = kind if kind is not Kind.NUMBER else None
    return Before(name, cost + refused, enter, linked, named, direct)


def _look_after(items: list[Item], index: int, folded: str, labelled: bool) -> After:
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
        distance = cue.word_start - item.word_end
        if distance > 25:
            break
        apart = cue.sentence - item.sentence
        if kind in CODE_WORDS:
            weight = (CODE_WORDS[kind] + cue.weight) * 0.72**apart / (1 + 0.09 * distance)
            name = max(name, weight * 0.6**numbers)
        elif kind is Kind.SIGN_IN:
            name = max(name, 1.6 * 0.7 ** (apart + numbers) / (1 + 0.1 * distance))
        elif apart:
            if apart == 1 and distance < 1.1 and not numbers:  # "5512. Type this in"
                name = max(name, 2.0 if kind is Kind.ENTER else 0.0)
                used = max(used, 0.6 if kind is Kind.USE else 0.0)
        elif kind is Kind.COPULA and distance < _ADJACENT:
            copula = True
            after = items[at + 1] if at + 1 < len(items) else cue
            if after.value and not after.letters and after.word_start - cue.word_end < _ADJACENT:
                cost = max(cost, 1.2)  # "the code of card 21312 is 7121312"
        elif kind is Kind.ENTER and distance < 3.1 and not numbers:
            name = max(name, 2.5)
        elif kind is Kind.USE and distance < 1.1:
            used = 0.9
        elif kind is Kind.NOT_A_CODE:
            if distance < 5 and not name and not numbers and not labelled:
                cost = max(cost, _NOT_A_CODE_COST)
        elif distance < _ADJACENT and not folded[item.end : cue.start].strip(" -"):
            if kind in (Kind.TIME, Kind.MONEY):
                cost = 5.0
            elif not labelled and kind in (Kind.ORDER, Kind.COUPON, Kind.CARD):
                # "558120 numaralı siparişiniz", but "551204 nolu şifre"
                after = items[at + 1] if at + 1 < len(items) else cue
                if after.kind not in CODE_WORDS or after.word_start - cue.word_end > 0.2:
                    cost = 3.5
    named = copula and name > 1.0
    return After(name + named + used, cost, named)


def _place_bonus(message: ParsedMessage, item: Item, folded: str) -> float:
    """The bonus for quotes, for a line or sentence of its own, for being written twice, and for standing first."""
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
    elif plain[:start].rstrip()[-1:] in _SENTENCE_EDGES and plain[end : end + 9].lstrip(" ")[:1] in _SENTENCE_EDGES:
        bonus += 0.8 if item.letters else 1.3
    if plain.count(value) > 1 and len(value) > 3:
        bonus += 1.0
    if item.letters:
        bonus += _letters_bonus(message, item, folded, alone)
    elif not value.isdigit():
        word = _WORD_IN_CODE.search(folded, start, end)
        if word is not None:  # not a random code: SAVE20, PIZZA4U, jane1988
            bonus -= 1.5 + (folded.count(word.group()) > 1)
    return bonus


def _letters_bonus(message: ParsedMessage, item: Item, folded: str, alone: bool) -> float:
    """The bonus of a candidate without digits, which needs a label beside it or a line of its own."""
    plain, value = message.plain, item.value or ""
    before = plain[: item.start].rstrip(" \n\"'([「【")[-1:]
    after = plain[item.end :].lstrip("\"')]」】 ")[:1]
    bonus = -1.5
    if (
        before in (":", "=")
        or (alone and item.weight > 0)
        or any(
            cue.kind in _BESIDE_LETTERS
            and (
                0 <= item.word_start - cue.word_end < _ADJACENT
                or (cue.kind is Kind.COPULA and 0 <= cue.word_start - item.word_end < _ADJACENT)
            )
            for cue in message.items
        )
    ):
        bonus += 1.5
    if after and after not in ".,\n!;。、" and (after.isupper() or not value.isupper()):
        bonus -= 1.0
    if value.isupper() and sum(map(str.isupper, plain)) * 2 > len(plain) - plain.count(" "):
        bonus -= 1.5  # the whole message is in capitals
    if folded.count(folded[item.start : item.end]) > 1 and value != plain.strip():
        bonus -= 0.5
    return bonus


def _message_cost(items: list[Item], signs: Signs, item: Item) -> float:
    """The cost of signs in the whole message that it has no code, or that this candidate is not one."""
    sentence = item.sentence
    cost = -0.6 if signs.validity else 0.0
    if signs.parcels:
        if signs.sign_in:
            cost += 0.8
        else:
            cost += (2.8 if signs.parcels == 1 else 4.2) + (0.6 if sentence in signs.parcel_sentences else 0.0)
    if signs.courier_sentences:
        here = signs.parcels or sentence in signs.courier_sentences
        told = signs.courier_sentences - signs.warning_sentences  # not "never give it to a driver"
        cost += 4.0 if here else 3.0 if min(signs.courier_sentences) < sentence or sentence + 1 in told else 2.0
    if signs.lock is not None and signs.lock.sentence <= sentence:
        cost += 2.5 if signs.lock.start > item.start else 3.0 if signs.sign_in else 4.5
    if signs.coupon:
        cost += 0.6 if signs.names_code else 1.2 if signs.sign_in else 2.2
        if sentence in signs.coupon_sentences and not signs.sign_in:
            cost += 1.5
    if signs.invalid:
        cost += 0.5
        cost += 4.0 * any(cue.sentence == sentence and _is_said_of(items, cue, item) for cue in signs.invalid)
    return cost


def _is_said_of(items: list[Item], wrong: Item, item: Item) -> bool:
    """Whether a word such as "expired" is about this candidate and not about another in its sentence."""
    if item.word_start < wrong.word_start:
        return True
    beside = False
    for other in items:
        if other.sentence != wrong.sentence or other is item:
            continue
        if other.value is not None and not other.letters and other.word_start < wrong.word_start:
            return False  # "the old code 1234 is invalid, the new one 5678"
        if wrong.word_end <= other.word_start < item.word_start:
            if other.kind is Kind.ENTER or other.kind is Kind.USE:
                return False
            if other.kind in CODE_WORDS:
                beside = beside or other.word_start - wrong.word_end < _ADJACENT
                if not beside:
                    return False  # "failed login: your code is 1234"
    return True
