"""Read what words mean together: two beside each other, and all of the message."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.candidates import Item, ParsedMessage
from piv_mcp.inbox.codes.lexicon import Kind

# Words that name a code, and their weight.
CODE_WORDS: Final = {Kind.ONE_TIME_CODE: 4.0, Kind.CODE: 3.2}
# Beside a word that names a code, these say that the code is not a one-time code.
_OTHER_CODES: Final = frozenset((Kind.PARCEL, Kind.COUPON, Kind.ORDER, Kind.DOOR))
_SEPARATOR: Final = re.compile("[0-9:=,]")


class Signs(NamedTuple):
    """What the whole message says. `..._sentences` are the numbers of the sentences with such a word."""

    parcels: int
    parcel_sentences: frozenset[int]
    courier_sentences: frozenset[int]
    warning_sentences: frozenset[int]
    coupon_sentences: frozenset[int]
    invalid: tuple[Item, ...]
    coupon: bool
    names_code: bool
    sign_in: bool
    validity: bool


def join_labels(items: list[Item], folded: str) -> None:
    """Combine words that name a code with the words beside them.

    "Pick-up code" becomes `NOT_A_CODE`; "login code" gets a greater weight.
    """
    cues = [item for item in items if item.kind is not None]
    for index, cue in enumerate(cues):
        if cue.kind not in CODE_WORDS:
            continue
        another = _names_another_code(cues, index, -1, folded)
        another = _names_another_code(cues, index, 1, folded) or another
        if another and not cue.weight:
            cue.kind = Kind.NOT_A_CODE


def _names_another_code(cues: list[Item], index: int, step: int, folded: str) -> bool:
    """Whether the words on one side of a code word (`step` -1 or 1) say that it is no one-time code.

    Raises the weight of the code word where they say that it is one.
    """
    cue = cues[index]
    another = False
    at = index + step
    while 0 <= at < len(cues):
        other = cues[at]
        gap = cue.word_start - other.word_end if step < 0 else other.word_start - cue.word_end
        if other.sentence != cue.sentence or gap > 2.1:
            break
        overlaps = other.start < cue.end and other.end > cue.start
        if overlaps and other.start <= cue.start and other.end >= cue.end and other.kind in _OTHER_CODES:
            another = True
        if overlaps or other.kind is Kind.COPULA or other.kind is Kind.NUMBER:
            at += step
            continue
        if _SEPARATOR.search(folded, min(other.end, cue.end), max(other.start, cue.start)):
            break
        if other.kind is Kind.SIGN_IN and gap <= 1.1:
            cue.weight = 1.0
        elif other.kind is Kind.ONE_TIME_CODE and gap <= 0.1:
            cue.weight = max(cue.weight, 0.5)  # "OTP code"
        elif other.kind in _OTHER_CODES and gap <= (0.1 if step < 0 else 1.1):
            another = another or cue.kind is Kind.CODE or other.kind is not Kind.ORDER
        break
    return another


def read_signs(message: ParsedMessage) -> Signs:
    """Collect what the whole message says, once for all its candidates."""
    cues = [item for item in message.items if item.kind is not None]
    parcels = [cue.sentence for cue in cues if cue.kind in (Kind.PARCEL, Kind.NOT_A_CODE)]
    kinds = {cue.kind for cue in cues}
    return Signs(
        parcels=len(parcels),
        parcel_sentences=frozenset(parcels),
        courier_sentences=frozenset(cue.sentence for cue in cues if cue.kind is Kind.COURIER),
        warning_sentences=frozenset(cue.sentence for cue in cues if cue.kind is Kind.NEGATION).difference(
            cue.sentence for cue in cues if cue.kind is Kind.INVALID
        ),
        coupon_sentences=frozenset(cue.sentence for cue in cues if cue.kind is Kind.COUPON),
        invalid=tuple(cue for cue in cues if cue.kind is Kind.INVALID),
        coupon=Kind.COUPON in kinds or "%" in message.plain,
        names_code=Kind.ONE_TIME_CODE in kinds or any(cue.kind is Kind.CODE and cue.weight for cue in cues),
        sign_in=Kind.SIGN_IN in kinds,
        validity=Kind.VALIDITY in kinds,
    )
