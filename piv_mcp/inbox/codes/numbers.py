"""Judge by its form and the characters beside it whether a group of digits or letters may be a code."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.lexicon import Kind, classify

MIN_SIZE: Final = 3
MAX_SIZE: Final = 10
_CURRENCY: Final = frozenset("$£€₹¥₽₩₴₦₱฿₺₸₫₪₾֏৳₮₵¢₭៛₡₲%°")
_BY_LENGTH: Final = {3: -1.2, 4: 1.0, 5: 1.3, 6: 2.0, 7: 1.0, 8: 1.2, 9: -0.2, 10: -0.6}
# Units written directly after a number: 10min, 24h, 5GB.
_UNITS: Final = frozenset(
    {"am", "cm", "d", "e", "er", "eur", "ft", "g", "gb", "gel", "h", "hr", "hrs", "inr", "k", "kb", "kc", "kg", "km"}
    | {"kmh", "kr", "lei", "m", "mb", "min", "mins", "ml", "mm", "mo", "nd", "pln", "pm", "rd", "rs", "rub", "s"}
    | {"sec", "secs", "st", "tb", "th", "tl", "uah", "usd", "x", "zl", "byn"}
)
# A number after one of these is part of a name, a path or an address.
_ADDRESS_SIGNS: Final = frozenset("_/^")
# Characters that hide digits of a card or a telephone number.
_MASK: Final = "[*•·×●○∗✱]"
_MASKS: Final = frozenset(_MASK[1:-1])
_MASK_ENDS: Final = frozenset((*_MASKS, "#", "x", "X"))
_MASKED: Final = re.compile(rf"(?:{_MASK}[ #]?{_MASK}|##|(?<![A-Za-z])[xX]{{2,}})[-.() ]{{0,3}}$")
_MASK_AFTER: Final = re.compile(rf"[-() ]{{0,2}}{_MASK}{{2}}")
_SHOWN_DIGITS: Final = 4
_LINKS: Final = (":", "=")
_PHONE_LENGTH: Final = 9
_YEARS: Final = range(1900, 2100)


class Verdict(NamedTuple):
    """The judgement on the groups of digits from index `first` to `last`, which are one number.

    `value` is the code that they may be, None where they are something else. `weight` is how much the form looks like
    a code.
    """

    first: int
    last: int
    value: str | None
    weight: float


def judge_word(value: str, low: str, plain: str, start: int, end: int) -> float | None:
    """How much a word without digits looks like a code; None if it cannot be one."""
    size = end - start
    if not 4 <= size <= MAX_SIZE:
        return None
    vowels = _count_vowels(low[start:end])
    weight = -1.0 if vowels * 3 > size else 0.5 if vowels * 5 <= size > 4 else -0.2
    if value.isupper():
        return weight
    near = plain[max(0, start - 9) : start]
    after = plain[end : end + 2]
    if near.rstrip(" \n\"'([")[-1:] in _LINKS:
        return weight - 0.3 if not after.strip() or after[0] in ".\n\"'" else None
    if vowels * 5 <= size and near.rstrip()[-1:].isalpha():
        # "your login code is abkdqz": a real word has more vowels
        return weight - 0.3 if not after.strip() or after[0] in ".\n" else None
    return None


@lru_cache(maxsize=8192)
def _count_vowels(low: str) -> int:
    return sum(map(low.count, "aeiouy"))


def judge_mixed(value: str, low: str) -> tuple[str, int, float, bool] | None:
    """Judge a word of letters and digits.

    Returns the code in it, the code's offset in the word, its weight, and whether the letters are a label of it
    ("OTP123456"); None if it cannot be a code.
    """
    digits = sum(map(str.isdigit, low))
    if low[-1].isdigit() and low[: len(low) - digits].isalpha():
        head = low[: len(low) - digits]
        kind = classify(head)
        if kind in (Kind.ONE_TIME_CODE, Kind.CODE):
            number = value[len(head) :]
            return (number, len(head), _BY_LENGTH[len(number)], True) if 4 <= len(number) <= MAX_SIZE else None
        if (kind is not None and kind not in (Kind.COPULA, Kind.ENTER, Kind.SIGN_IN)) or not head.strip("x"):
            return None
        if kind in (Kind.COPULA, Kind.ENTER) and 3 < digits <= MAX_SIZE and value[: len(head)].islower():
            return (value[len(head) :], len(head), _BY_LENGTH[digits], True)
        if len(head) > 2 and digits < 4 and len(low) > 4:
            # A word and a number, as discounts have: SAVE20, flat7
            return (value, 0, -1.2, False) if len(low) <= MAX_SIZE else None
    elif low[0].isdigit() and low[digits:].isalpha():
        tail = low[digits:]
        kind = classify(tail)
        if tail in _UNITS or kind in (Kind.MONEY, Kind.TIME):
            return None
        if kind is not None and 3 < digits <= MAX_SIZE:
            return (value[:digits], 0, _BY_LENGTH[digits], True)
    if not 4 <= len(low) <= MAX_SIZE or "xxx" in low:
        return None  # 98XXXXXX12 is masked
    weight = 0.6 if len(low) < 9 else -0.6
    if value != low and value != value.upper():
        weight -= 0.2
    return value, 0, weight, False


def judge_numbers(plain: str, spans: list[tuple[int, int]]) -> list[Verdict]:
    """Judge groups of digits that have one separator between each. A span is (start, end) in `plain`."""
    verdicts: list[Verdict] = []
    blocks: list[tuple[int, int]] = []
    first = _shown_groups(plain, spans)
    if not first and len(spans) == 1:
        return [_single(plain, spans[0], 0)]
    if first:
        verdicts.append(_not_a_code(0, first - 1))
    for index in range(first + 1, len(spans) + 1):
        if index == len(spans) or plain[spans[index - 1][1]] == " ":
            blocks.append((first, index - 1))
            first = index
    at = 0
    while at < len(blocks):
        taken = 1
        if all(a == b for a, b in blocks[at : at + 2]) and at + 1 < len(blocks):
            taken, verdict = _spaced(plain, spans, blocks, at)
            verdicts += verdict
        else:
            low, high = blocks[at]
            if low == high:
                verdicts.append(_single(plain, spans[low], low))
            elif _is_list(plain, spans, low, high):
                verdicts += [_single(plain, spans[index], index) for index in range(low, high + 1)]
            else:
                verdicts.append(_joined(plain, spans, low, high))
        at += taken
    return verdicts


def _shown_groups(plain: str, spans: list[tuple[int, int]]) -> int:
    """How many of the groups are the shown end of a masked number: ***-4471, ** ** 44 71."""
    start, end = spans[0]
    if end - start > _SHOWN_DIGITS:
        return 0
    near = plain[max(0, start - 8) : start]
    if near.rstrip(" -.()")[-1:] not in _MASK_ENDS or not _MASKED.search(near):
        return 0
    count = size = 0
    while count < len(spans) and size < _SHOWN_DIGITS:
        size += spans[count][1] - spans[count][0]
        count += 1
    return count


def _is_list(plain: str, spans: list[tuple[int, int]], first: int, last: int) -> bool:
    """Whether a comma or colon separates two numbers, as in "123456,5 min", and is not part of one."""
    begin, end = spans[first]
    if last != first + 1 or plain[end] not in ",:" or end - begin < 4:
        return False
    size = spans[last][1] - spans[last][0]
    return size != 2 or plain[spans[last][1] : spans[last][1] + 1].isalpha()


def _not_a_code(first: int, last: int) -> Verdict:
    return Verdict(first, last, None, 0.0)


def _spaced(
    plain: str, spans: list[tuple[int, int]], blocks: list[tuple[int, int]], at: int
) -> tuple[int, list[Verdict]]:
    """Judge groups of digits with spaces between: a code (902 118, 44 19 07) or not (0800 123 456, 12 500).

    Returns how many blocks were judged, and the verdicts.
    """
    stop = at
    while stop < len(blocks) and blocks[stop][0] == blocks[stop][1]:
        stop += 1
    groups = [spans[blocks[index][0]] for index in range(at, stop)]
    sizes = [end - start for start, end in groups]
    total = sum(sizes)
    count = stop - at
    first, last = blocks[at][0], blocks[stop - 1][1]
    begin, end = groups[0][0], groups[-1][1]
    even = len(set(sizes)) == 1
    foreign = _is_money_or_phone(plain, begin, end)
    if not foreign and even and total in (4, 6, 8) and 1 < count <= 8 and sizes[0] < 5:
        value = "".join(plain[a:b] for a, b in groups)
        weight = {1: 1.6, 2: 1.2, 3: 1.8, 4: 1.4}[sizes[0]] - (0.6 if total == 4 and count == 2 else 0.0)
        if sizes[0] == 4 and plain[begin] == "0":
            weight -= 1.4  # a telephone number: 0800 5511
        return count, [Verdict(first, last, value, weight)]
    if not foreign and even and sizes[0] == 1 and 4 <= count <= MAX_SIZE:
        return count, [Verdict(first, last, "".join(plain[a:b] for a, b in groups), 1.4)]
    if plain[begin] == "0" and sizes[0] < 6 and total >= _PHONE_LENGTH:
        foreign = True  # a telephone number: 010 551204
    if foreign or total > MAX_SIZE or (total >= _PHONE_LENGTH and count > 2):
        if count == 2 and max(sizes) >= 5 and not foreign:
            return 1, [_single(plain, groups[0], first)]
        return count, [_not_a_code(first, last)]
    if sizes[0] <= 3 and set(sizes[1:]) == {3}:
        return count, [_not_a_code(first, last)]
    if sizes == [3, 4]:  # probably a telephone number
        return 2, [Verdict(first, last, "".join(plain[a:b] for a, b in groups), -1.4)]
    return 1, [_single(plain, groups[0], first)]


def _joined(plain: str, spans: list[tuple[int, int]], first: int, last: int) -> Verdict:
    """Judge groups of digits joined by points, hyphens, slashes or colons."""
    groups = spans[first : last + 1]
    marks = {plain[end] for _, end in groups[:-1]}
    sizes = [end - start for start, end in groups]
    total = sum(sizes)
    begin, end = groups[0][0], groups[-1][1]
    value = "".join(plain[a:b] for a, b in groups)
    if len(marks) > 1 or not 4 <= total <= 9 or _is_money_or_phone(plain, begin, end):
        return _not_a_code(first, last)
    mark = marks.pop()
    even = len(set(sizes)) == 1
    if mark in "./":
        pieces = sizes == [3, 3] or (sizes == [2, 2, 2] and not _is_date(value, sizes))
        return Verdict(first, last, value, 1.0) if pieces else _not_a_code(first, last)
    if mark != "-" or _is_date(value, sizes) or plain[end : end + 1] == "-" or plain[begin - 1 : begin] == "-":
        return _not_a_code(first, last)
    if sizes == [4, 4] and _is_round_time(value[:4]) and _is_round_time(value[4:]):
        return _not_a_code(first, last)
    if even and sizes[0] > 1:
        return Verdict(first, last, value, {2: 1.0, 3: 1.8, 4: 1.4}.get(sizes[0], -1.0) - (0.8 if total == 9 else 0.0))
    if min(sizes) < 2:
        return Verdict(first, last, value, -1.0) if len(sizes) == 2 else _not_a_code(first, last)
    # 555-0143 is probably a telephone number
    return Verdict(first, last, value, -1.4 if total == 7 else 0.2)


def _is_round_time(value: str) -> bool:
    """Whether four digits are a time of day at a quarter of an hour: 0900, 1730."""
    return int(value) <= 2400 and value[2:] in ("00", "15", "30", "45")


def _is_date(value: str, sizes: list[int]) -> bool:
    if sizes == [2, 2]:
        day, month = sorted((int(value[:2]), int(value[2:])), reverse=True)
        return 1 <= month <= 12 and day <= 31
    if len(sizes) != 3:
        return False
    a, b, c = int(value[: sizes[0]]), int(value[sizes[0] : -sizes[2]]), int(value[-sizes[2] :])
    if sizes[0] == 4:
        return a in _YEARS and b <= 12 and c <= 31
    return sizes[2] in (2, 4) and (sizes[2] == 2 or c in _YEARS) and min(a, b) in range(1, 13) and max(a, b) <= 31


def _is_money_or_phone(plain: str, start: int, end: int) -> bool:
    before, after = plain[max(0, start - 2) : start], plain[end : end + 2]
    if before[-1:] == "+" or before[-1:] in _CURRENCY or after[:1] in _CURRENCY:
        return True
    if before.rstrip()[-1:] in _CURRENCY or after.lstrip()[:1] in _CURRENCY:
        return True
    # A telephone number with its area code: (11) 3003-4471
    return before.rstrip().endswith(")") and plain[:start].rstrip(") ")[-2:].isdigit()


def _single(plain: str, span: tuple[int, int], index: int) -> Verdict:
    start, end = span
    size = end - start
    dead = _not_a_code(index, index)
    if not MIN_SIZE <= size <= MAX_SIZE or _is_money_or_phone(plain, start, end):
        return dead
    value = plain[start:end]
    before, after = plain[start - 1 : start] if start else "", plain[end : end + 1]
    before2, after2 = plain[start - 2 : start - 1] if start > 1 else "", plain[end + 1 : end + 2]
    weight = _BY_LENGTH[size]
    if (
        before in _ADDRESS_SIGNS
        or (before == "@" and before2.isalnum())
        or after in ("@", "_")
        or before == before2 == "."
        or (after == "/" and after2.isalnum())
        or _MASK_AFTER.match(plain, end)
    ):
        return dead
    if before in _MASKS or after in _MASKS or after == "#":
        # *4471 is the end of a card, and *123# a dialling code; *482913 may be half of bold type
        if size <= _SHOWN_DIGITS or (before == "*" and after == "#") or after2.isdigit():
            return dead
        weight -= 1.0
    elif before in ("#", "@"):
        weight -= 1.0
    elif before == "-" and before2.isalpha() and before2.isascii():
        # The tags of Google and Facebook: G-123456 and FB-12345 are codes without any other word
        weight += 2.4 if plain[max(0, start - 4) : start].split()[-1:] in (["G-"], ["FB-"]) else 0.6
    elif after == "-" and after2.isalpha() and after2.isascii() and after2.isupper():
        weight -= 0.5
    if size == 4 and int(value) in _YEARS:
        weight -= 1.0
    elif size == 4 and _is_round_time(value):
        weight -= 0.5
    elif size > 4 and value.endswith("000"):
        weight -= 1.0  # probably an amount
    if size > 8 and value[0] == "0":
        weight -= 2.0
    return Verdict(index, index, value, weight)
