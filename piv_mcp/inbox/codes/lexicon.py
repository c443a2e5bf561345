"""Look up what kind of word a word is, and so what it says about the numbers around it."""

import re
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from piv_mcp.inbox.codes import words
from piv_mcp.inbox.codes.repair import LOST
from piv_mcp.inbox.codes.text import fold_words


class Kind(IntEnum):
    """The kinds of words; the comments in `words` explain each. `_LISTS` has their order of precedence."""

    ONE_TIME_CODE = 0
    CODE = 1
    SIGN_IN = 2
    ENTER = 3
    PARCEL = 4
    COUPON = 5
    ORDER = 6
    CARD = 7
    PHONE = 8
    MONEY = 9
    TIME = 10
    INVALID = 11
    OLD = 12
    NEGATION = 13
    COPULA = 14
    NUMBER = 15
    OTHER_LABEL = 16
    AMOUNT = 17
    DONE = 18
    COURIER = 19
    USE = 20
    VALIDITY = 21
    LOCK = 22
    THING = 23
    NOT_A_CODE = 24  # a whole label such as "pick-up code", found by joining two words


class Phrase(NamedTuple):
    """The words of a phrase after its first."""

    rest: tuple[str, ...]
    kind: Kind


class FoundWord(NamedTuple):
    """A known word inside a run of text that is written without spaces."""

    start: int
    end: int
    kind: Kind


# Scripts written without spaces between words: Thai to Burmese, Hangul, Ethiopic, Khmer, Kana and Han.
_UNSPACED_SCRIPTS: Final = (
    (0x0E00, 0x109F),
    (0x1100, 0x137F),
    (0x1780, 0x17FF),
    (0x3005, 0x9FFF),
    (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF),
)
# A word that is in two lists is of the kind that comes first here.
_LISTS: Final = (
    (Kind.ONE_TIME_CODE, words.ONE_TIME_CODE),
    (Kind.CODE, words.CODE),
    (Kind.SIGN_IN, words.SIGN_IN),
    (Kind.ENTER, words.ENTER),
    (Kind.USE, words.USE),
    (Kind.DONE, words.DONE),
    (Kind.COURIER, words.COURIER),
    (Kind.PARCEL, words.PARCEL),
    (Kind.LOCK, words.LOCK),
    (Kind.COUPON, words.COUPON),
    (Kind.ORDER, words.ORDER),
    (Kind.OTHER_LABEL, words.OTHER_LABEL),
    (Kind.CARD, words.CARD),
    (Kind.PHONE, words.PHONE),
    (Kind.MONEY, words.MONEY),
    (Kind.AMOUNT, words.AMOUNT),
    (Kind.TIME, words.TIME),
    (Kind.INVALID, words.INVALID),
    (Kind.OLD, words.OLD),
    (Kind.VALIDITY, words.VALIDITY),
    (Kind.NEGATION, words.NEGATION),
    (Kind.COPULA, words.COPULA),
    (Kind.NUMBER, words.NUMBER),
    (Kind.THING, words.THING),
)
_exact: dict[str, Kind] = {}
_stems: dict[str, Kind] = {}
_brands: set[str] = set()
_phrases: dict[str, list[Phrase]] = {}
_unspaced: dict[str, list[tuple[str, Kind]]] = {}
_SHORTEST_STEM: Final = 3
_MAX_STEM: Final = 14
# A code word at the end of a compound: "Bestätigungscode", "vahvistuskoodi", "Abholcode".
_COMPOUND: Final = re.compile(
    r"(?:code|kode|kod|kood|koodi|kodi|parool|salasana|passwort|kennwort|losen|ord|tan|pin|nummer|nr)"
    r"(?:s|n|r|en|et|em|u|ul|nn?|ne|isi|in|illa|ille|a|as|ja|ot|t|nummer|ga)?$"
)
_COMPOUND_CODE: Final = re.compile(r"^(?:code|koo?d|passw|kennw|losen|ord|parool|salas|tan|pin)")
_OFTEN_LOST: Final = "eoauicsngyzrltd"
_ARABIC_PREFIX: Final = re.compile("^(?:[وفبلک]{0,2}ال|لل|[وفبلک])(?=..)")
_HEBREW_PREFIX: Final = re.compile("^[הובלמשכ]{1,2}(?=..)")


def _load() -> None:
    _brands.update(fold_words(words.BRANDS).replace("\n", "").split(","))
    for kind, entries in _LISTS:
        for entry in fold_words(entries).replace("\n", "").replace("'", " ").split(","):  # apostrophes part tokens
            stem = entry.endswith("*")
            word = entry.removesuffix("*").strip()
            if not word:
                continue
            if is_unspaced(max(word)):
                _unspaced.setdefault(word[0], []).append((word, kind))
            elif " " in word:
                first, *rest = word.split()
                rest[-1] += "*" * stem
                _phrases.setdefault(first, []).append(Phrase(tuple(rest), kind))
            elif stem:
                _stems.setdefault(word, kind)
            else:
                _exact.setdefault(word, kind)
    for found in _unspaced.values():
        found.sort(key=lambda item: -len(item[0]))


def _look_up(word: str) -> Kind | None:
    kind = _exact.get(word)
    if kind is not None:
        return kind
    for length in range(min(len(word), _MAX_STEM), _SHORTEST_STEM - 1, -1):
        kind = _stems.get(word[:length])
        if kind is not None:
            return kind
    return None


def _compound_kind(word: str) -> Kind | None:
    tail = _COMPOUND.search(word, 3)
    if tail is None:
        return None
    head = _look_up(word[: tail.start()])
    is_code = _COMPOUND_CODE.match(tail.group()) is not None
    if head in (Kind.SIGN_IN, Kind.ONE_TIME_CODE) and is_code:
        return Kind.ONE_TIME_CODE
    if head in (Kind.PARCEL, Kind.COUPON, Kind.ORDER, Kind.LOCK):
        return Kind.NOT_A_CODE if is_code else Kind.ORDER
    if head in (Kind.CARD, Kind.OTHER_LABEL, Kind.THING, None) and not is_code:
        return Kind.OTHER_LABEL  # "Mitgliedsnummer": what has a number of its own is no code
    return None


def _damaged_kind(word: str) -> Kind | None:
    """The kind of a word with one or two lost letters, which are mostly vowels with an accent."""
    lost = word.count(LOST)
    if lost > 2 or len(word) < 2 * lost + 2:
        return None
    for letter in _OFTEN_LOST:
        mended = word.replace(LOST, letter, 1)
        kinds = [classify(mended)] if lost == 1 else map(_look_up, (mended.replace(LOST, x) for x in _OFTEN_LOST))
        for kind in kinds:
            if kind is not None:
                return kind
    return None


@lru_cache(maxsize=8192)
def classify(word: str) -> Kind | None:
    """The kind of a folded word from a script with spaces; None for an unknown one."""
    if not _exact:
        _load()  # not on import: the lists take time to read, and most commands need none
    if word in _brands:
        return None
    if LOST in word:
        return _damaged_kind(word)
    kind = _compound_kind(word) if len(word) > 6 and word.isascii() else None
    if kind is None:
        kind = _look_up(word)
    if kind is None and "\u0590" <= word[0] <= "\u06ff":
        prefix = _HEBREW_PREFIX if word[0] < "\u0600" else _ARABIC_PREFIX
        bare = prefix.sub("", word)
        if bare != word:
            kind = _look_up(bare)
            kind = _look_up(word[1:]) if kind is None else kind
    return kind


phrases: Final = _phrases.get
"""The phrases that begin with a word. Call `classify` first, which loads the lists."""


def is_unspaced(char: str) -> bool:
    """Whether the script of this character is written without spaces between words."""
    code = ord(char)
    return code >= 0x0E00 and any(first <= code <= last for first, last in _UNSPACED_SCRIPTS)


@lru_cache(maxsize=4096)
def find_words(run: str) -> tuple[FoundWord, ...]:
    """Find the known words inside a run of text without spaces: the longest one at each place."""
    if not _unspaced:
        _load()
    found: list[FoundWord] = []
    at = 0
    while at < len(run):
        for word, kind in _unspaced.get(run[at], ()):
            if run.startswith(word, at):
                found.append(FoundWord(at, at + len(word), kind))
                at += len(word)
                break
        else:
            at += 1
    return tuple(found)
