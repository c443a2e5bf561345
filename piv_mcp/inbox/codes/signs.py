"""What words say together: beside each other, and in the message as a whole."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.candidates import Item, Message
from piv_mcp.inbox.codes.lexicon import Kind

# Words that name a code.
NAMES: Final = {Kind.STRONG: 4.0, Kind.GENERIC: 3.2}
_SPOILERS: Final = frozenset((Kind.PARCEL, Kind.COUPON, Kind.ORDER, Kind.DOOR))
_BREAK: Final = re.compile("[0-9:=,]")


class Signs(NamedTuple):
    """What the message says as a whole."""

    parcels: int
    parcel_in: frozenset[int]
    courier_in: frozenset[int]
    warned_in: frozenset[int]
    coupon_in: frozenset[int]
    invalid: tuple[Item, ...]
    coupon: bool
    named: bool
    signing: bool
    valid: bool


def join_labels(items: list[Item], low: str) -> None:
    """Joins code words with the words beside them: "pick-up code" names none, "login code" one."""
    cues = [item for item in items if item.kind is not None]
    for index, cue in enumerate(cues):
        if cue.kind not in NAMES:
            continue
        spoiled = _beside(cues, index, -1, low)
        spoiled = _beside(cues, index, 1, low) or spoiled
        if spoiled and not cue.shape:
            cue.kind = Kind.NOT_A_CODE


def _beside(cues: list[Item], index: int, step: int, low: str) -> bool:
    """Whether the word on one side of a name says it is no one-time code."""
    cue = cues[index]
    spoiled = False
    at = index + step
    while 0 <= at < len(cues):
        other = cues[at]
        gap = cue.at - other.until if step < 0 else other.at - cue.until
        if other.sentence != cue.sentence or gap > 2.1:
            break
        overlaps = other.start < cue.end and other.end > cue.start
        if overlaps and other.start <= cue.start and other.end >= cue.end and other.kind in _SPOILERS:
            spoiled = True
        if overlaps or other.kind is Kind.COPULA or other.kind is Kind.NUMBER:
            at += step
            continue
        if _BREAK.search(low, min(other.end, cue.end), max(other.start, cue.start)):
            break
        if other.kind is Kind.AUTH and gap <= 1.1:
            cue.shape = 1.0
        elif other.kind is Kind.STRONG and gap <= 0.1:
            cue.shape = max(cue.shape, 0.5)  # "OTP code"
        elif other.kind in _SPOILERS and gap <= (0.1 if step < 0 else 1.1):
            spoiled = spoiled or cue.kind is Kind.GENERIC or other.kind is not Kind.ORDER
        break
    return spoiled


def read_signs(message: Message) -> Signs:
    """What the message says as a whole, read once for all its candidates."""
    cues = [item for item in message.items if item.kind is not None]
    parcels = [cue.sentence for cue in cues if cue.kind in (Kind.PARCEL, Kind.NOT_A_CODE)]
    kinds = {cue.kind for cue in cues}
    return Signs(
        parcels=len(parcels),
        parcel_in=frozenset(parcels),
        courier_in=frozenset(cue.sentence for cue in cues if cue.kind is Kind.COURIER),
        warned_in=frozenset(cue.sentence for cue in cues if cue.kind is Kind.NEVER).difference(
            cue.sentence for cue in cues if cue.kind is Kind.INVALID
        ),
        coupon_in=frozenset(cue.sentence for cue in cues if cue.kind is Kind.COUPON),
        invalid=tuple(cue for cue in cues if cue.kind is Kind.INVALID),
        coupon=Kind.COUPON in kinds or "%" in message.plain,
        named=Kind.STRONG in kinds or any(cue.kind is Kind.GENERIC and cue.shape for cue in cues),
        signing=Kind.AUTH in kinds,
        valid=Kind.VALID in kinds,
    )
