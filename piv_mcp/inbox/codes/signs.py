"""Read what words mean together: two beside each other, and all of the message."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.candidates import Item, ParsedMessage
from piv_mcp.inbox.codes.lexicon import Kind

# Words that name a code, and their weight.
CODE_WORDS: Final = {Kind.ONE_TIME_CODE: 4.0, Kind.CODE: 3.2}
# Beside a word that names a code, these say that the code is not a one-time code.
_OTHER_CODES: Final = frozenset((Kind.PARCEL, Kind.COUPON, Kind.ORDER, Kind.LOCK))
# A message that begins with one of these has a subject of its own, and its only number belongs to that.
_SUBJECTS: Final = (
    *_OTHER_CODES,
    Kind.NOT_A_CODE,
    Kind.COURIER,
    Kind.CARD,
    Kind.AMOUNT,
    Kind.INVALID,
    Kind.DONE,
)
_OF_RECEIPTS: Final = frozenset((Kind.MONEY, Kind.AMOUNT, Kind.CARD, Kind.DONE))
_OF_REQUESTS: Final = frozenset((*CODE_WORDS, Kind.ENTER, Kind.USE, Kind.VALIDITY))
_FILLERS: Final = (Kind.NUMBER, Kind.NEGATION, Kind.COPULA)  # "no." is also a negation
_NAME_BEFORE: Final = re.compile(
    r"(?<!\w)(?!(?:Your|You|We|The|My|Our|This|Su|Sus|Tu|Tus|El|La|Los|Las|Ihre?|Deine?|Der|Die|Das|Votre|Vos|Ton|Ta|Le|Les"
    r"|Seu|Sua|Os?|As?|Il|Lo|Tuo|Tua|Uw|Je|De|Het|Din|Ditt|Twój|Twoje)\b)[A-Z][A-Za-z]*[ &'-]{1,3}$"
)
_LONG_WORD: Final = 4
_BESIDE: Final = 0.4  # in words
_NOWHERE: Final[frozenset[int]] = frozenset()
_SEPARATOR: Final = re.compile("[0-9:=,(]")
_PIN: Final = re.compile("pin|geheimzahl|пин|פין")
_CARD: Final = re.compile("[ck]a?ar[dt]|tarjeta|kort|kárty|карт|καρτ|כרטיס|بطاق|کارت")
_CARD_REACH: Final = 5.1  # "the PIN for your new Alder debit card"


class Signs(NamedTuple):
    """What the whole message says. `..._sentences` are the numbers of the sentences with such a word."""

    parcels: int
    parcel_sentences: frozenset[int]
    courier_sentences: frozenset[int]
    warning_sentences: frozenset[int]
    coupon_sentences: frozenset[int]
    invalid: tuple[Item, ...]
    lock: Item | None  # the first
    coupon: bool
    names_code: bool
    sign_in: bool
    validity: bool
    bare: str | None  # the only number of a message that names nothing
    receipt: bool  # it tells of money or of what is done, names no code and asks for nothing


def join_labels(items: list[Item], folded: str) -> None:
    """Combine words that name a code with the words beside them.

    "Pick-up code" becomes `NOT_A_CODE`; "login code" gets a greater weight.
    """
    cues = [item for item in items if item.kind is not None]
    for index, cue in enumerate(cues):
        if cue.kind not in CODE_WORDS:
            continue
        before = _names_another_code(cues, index, -1, folded)
        another = _names_another_code(cues, index, 1, folded) or before
        if before is Kind.LOCK or (another is not None and not cue.weight):
            cue.kind = Kind.ORDER if another is Kind.ORDER else Kind.NOT_A_CODE


def _names_another_code(cues: list[Item], index: int, step: int, folded: str) -> Kind | None:
    """The kind of a word on one side of a code word (`step` -1 or 1) that says that it is no one-time code.

    Raises the weight of the code word where the words say that it is one.
    """
    cue = cues[index]
    another: Kind | None = None
    at = index + step
    while 0 <= at < len(cues):
        other = cues[at]
        gap = cue.word_start - other.word_end if step < 0 else other.word_start - cue.word_end
        if other.sentence != cue.sentence or gap > _CARD_REACH:
            break
        overlaps = other.start < cue.end and other.end > cue.start
        if overlaps and other.start <= cue.start and other.end >= cue.end and other.kind in _OTHER_CODES:
            another = other.kind
        if overlaps or other.kind in (Kind.COPULA, Kind.NUMBER, Kind.THING):
            at += step
            continue
        if _SEPARATOR.search(folded, min(other.end, cue.end), max(other.start, cue.start)):
            break
        if other.kind is Kind.SIGN_IN and gap <= 1.1:
            cue.weight = 1.0
        elif (
            other.kind is Kind.CARD
            and gap <= (_CARD_REACH if step > 0 else _BESIDE)
            and _PIN.search(folded, cue.start, cue.end)
            and _CARD.search(folded, other.start, other.end)
            and not folded[other.end : other.end + 3].lstrip(" *x")[:1].isdigit()  # "the PIN to add card 4412"
        ):
            another = Kind.LOCK  # the PIN of a card is used for years
        elif other.kind is Kind.ONE_TIME_CODE and gap <= 0.1:
            cue.weight = max(cue.weight, 0.5)  # "OTP code"
        elif other.kind in _OTHER_CODES and (cue.kind is Kind.CODE or other.kind is not Kind.ORDER):
            reach = 0.1 if step < 0 else 3.1 if other.kind is Kind.LOCK else 1.1  # "code for the front door"
            another = other.kind if gap <= reach else another
        break
    return another


def read_signs(message: ParsedMessage) -> Signs:
    """Collect what the whole message says, once for all its candidates."""
    sentences: dict[Kind, list[int]] = {}
    invalid: list[Item] = []
    lock: Item | None = None
    verifies = False
    for cue in message.items:
        kind = cue.kind
        if kind is None:
            continue
        sentences.setdefault(kind, []).append(cue.sentence)
        if kind is Kind.INVALID:
            invalid.append(cue)
        elif kind is Kind.LOCK:
            lock = lock or cue
        elif kind is Kind.CODE and cue.weight:
            verifies = True

    def within(kind: Kind) -> frozenset[int]:
        return frozenset(sentences[kind]) if kind in sentences else _NOWHERE

    parcels = sentences.get(Kind.PARCEL, []) + sentences.get(Kind.NOT_A_CODE, [])
    return Signs(
        parcels=len(parcels),
        parcel_sentences=frozenset(parcels),
        courier_sentences=within(Kind.COURIER),
        warning_sentences=within(Kind.NEGATION) - within(Kind.INVALID),
        coupon_sentences=within(Kind.COUPON),
        invalid=tuple(invalid),
        lock=lock,
        coupon=Kind.COUPON in sentences or "%" in message.plain,
        names_code=verifies or Kind.ONE_TIME_CODE in sentences,
        sign_in=Kind.SIGN_IN in sentences,
        validity=Kind.VALIDITY in sentences,
        bare=None if CODE_WORDS.keys() & sentences.keys() else _only_number(message, sentences),
        receipt=bool(_OF_RECEIPTS & sentences.keys()) and not _OF_REQUESTS & sentences.keys(),
    )


def _has_digits(number: str) -> bool:
    """Whether this is a number that could be meant: neither a word such as "Route66" nor the 54 of "Studio 54"."""
    return len(number) > 2 and number[0].isdigit() and number[-1].isdigit()


def _only_number(message: ParsedMessage, sentences: dict[Kind, list[int]]) -> str | None:
    """The only number of a message, not counting durations and what is to be called; else the only mixed candidate."""
    numbers: dict[str | None, int] = {}
    mixed: dict[str | None, int] = {}
    items = message.items
    for index, item in enumerate(items):
        if item.kind is Kind.PHONE and numbers:
            break
        if item.kind is not None or item.letters:
            continue
        unit = items[index + 1].kind if index + 1 < len(items) else None
        if item.value is not None and not item.value.isdigit():
            mixed.setdefault(item.value, index)
        elif item.value is not None or (unit is not Kind.TIME and _has_digits(message.plain[item.start : item.end])):
            numbers.setdefault(item.value, index)
    found = numbers or mixed
    if len(found) != 1:
        return None
    value, at = found.popitem()
    sentence = items[at].sentence
    if any(kind in sentences and sentences[kind][0] <= sentence for kind in _SUBJECTS) or _is_of_a_thing(message, at):
        return None
    return value


def _is_of_a_thing(message: ParsedMessage, at: int) -> bool:
    """Whether a number counts or names something: "Price: 1200", "Case no. 12", "1200 views"; not "Big Shop: 1200"."""
    items = message.items
    item = items[at]
    start = item.word_start
    for cue in reversed(items[:at]):
        if cue.sentence != item.sentence or start - cue.word_end > _BESIDE:
            break
        if cue.kind in (Kind.THING, Kind.OTHER_LABEL):
            if _NAME_BEFORE.search(message.plain, max(0, cue.start - 20), cue.start) is None:
                return True
        elif cue.kind not in _FILLERS:
            break
        elif cue.kind is not Kind.COPULA and cue.end - cue.start < _LONG_WORD:
            return True  # "donor no. 1200"
        start = cue.word_start
    after = items[at + 1] if at + 1 < len(items) else item
    return after.kind is Kind.THING and after.sentence == item.sentence and after.word_start - item.word_end < _BESIDE
