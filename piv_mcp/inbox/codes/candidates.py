"""From text to the words that say something and to everything that could be a code.

A number that evidently is something else (a date, a time, an amount, a telephone number, the
masked end of a card) stays in the list as a dead candidate: it uses up the label before it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.lexicon import Kind, classify, phrases, runs_together, scan
from piv_mcp.inbox.codes.numbers import MAX_SIZE, judge_mixed, judge_numbers, judge_word

_WORD, _RUN, _NUMBER, _STOP = 1, 2, 3, 4
# Folding leaves no signs outside ASCII: what is there is a letter.
_TOKEN: Final = re.compile(r"([a-z]+(?![a-z0-9]))|([^\x00-\x7f]+)|([a-z0-9]+)|([.!?;\n]+)")
_SITES: Final = (
    "com|net|org|gov|edu|info|biz|app|dev|io|online|site|shop|xyz|example"
    "|ru|ua|uk|fr|pl|cz|br|mx|ar|cn|jp|kr|tr|gr|il|ir|au|ca|nl|eu|vn|th"
)
_WEB: Final = re.compile(
    r"(?:https?://|www\.)[!-~]+|[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9][a-z0-9.-]{0,63}"
    r"|(?<![a-z0-9@.-])[a-z0-9-]{1,40}(?:\.[a-z0-9-]{1,40}){0,4}\."
    rf"(?:[a-z]{{2,12}}/[!-~]*|(?:{_SITES})(?![a-z0-9.-]))"
)
_HASH: Final = re.compile(r"(?:^|\s)(?=\S{0,10}[a-z])(?=\S{0,10}[0-9A-Z])[A-Za-z0-9+/]{11}\s*$")
_SPELT: Final = re.compile(r"(?<![^\s:\"'(\[【「])[A-Za-z0-9](?: [A-Za-z0-9]){3,9}(?![^\s.,;!\"')\]】」])")
_HYPHENATED: Final = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z0-9]{2,6}(?:-[A-Za-z0-9]{2,6}){1,2}(?![A-Za-z0-9-])")
_GAPS: Final = frozenset(" -.,:/")


class Item:
    """A word that says something or, without a kind, a candidate; where it is in the message."""

    __slots__ = ("at", "end", "kind", "labelled", "letters", "sentence", "shape", "start", "until", "value")

    def __init__(self, start: int, end: int, at: float, until: float, sentence: int, kind: Kind | None = None) -> None:
        self.start = start
        self.end = end
        self.at = at  # in words from the start of the message, as is until
        self.until = until
        self.sentence = sentence
        self.kind = kind
        self.value: str | None = None
        self.shape = 0.0
        self.labelled = False
        self.letters = False


class Message(NamedTuple):
    """What was read from a text."""

    plain: str
    items: list[Item]
    words: int
    known: int


def without_addresses(low: str) -> str:
    """The folded text with web and mail addresses blanked out, offsets kept."""
    return _WEB.sub(lambda match: " " * len(match.group()), low) if "." in low else low


def read(plain: str, low: str) -> Message:
    """The words that say something and the candidates of a message, in order."""
    hashed = _HASH.search(plain)
    if hashed is not None:
        low = low[: hashed.start()]
    spelt = _joined_pieces(plain, low)
    items: list[Item] = []
    numbers: list[Item] = []
    open_phrases: list[tuple[list[str], Kind, int, float]] = []
    place = 0.0
    sentence = words = known = skip_to = 0
    for match in _TOKEN.finditer(low):
        group = match.lastindex
        start, end = match.span()
        if start < skip_to:
            continue
        if group == _STOP:
            if _ends_sentence(low, start, end):
                sentence += 1
                open_phrases = []
            continue
        if start in spelt:
            value, skip_to, weight = spelt[start]
            items.append(item := Item(start, skip_to, place, place + 1, sentence))
            item.value, item.shape, item.letters = value, weight, value.isalpha()
            place += 1
            continue
        word = match.group()
        if group == _RUN and runs_together(word[0]):
            for found in scan(word):
                at, until = place + found.start / 3, place + found.end / 3
                items.append(Item(start + found.start, start + found.end, at, until, sentence, found.kind))
                known += 1
            place += len(word) / 3
            words += 1 + len(word) // 4
            continue
        if group == _NUMBER:
            items.append(item := Item(start, end, place, place + 1, sentence))
            numbers.append(item)
            place += 1
            open_phrases = []
            continue
        words += 1
        kind = classify(word)
        if open_phrases:
            still: list[tuple[list[str], Kind, int, float]] = []
            for rest, phrase_kind, begin, begin_place in open_phrases:
                if rest[0] != word and not (rest[0][-1] == "*" and word.startswith(rest[0][:-1])):
                    continue
                if len(rest) == 1:
                    items.append(Item(begin, end, begin_place, place + 1, sentence, phrase_kind))
                    known += 1
                    kind = None
                else:
                    still.append((rest[1:], phrase_kind, begin, begin_place))
            open_phrases = still
        for phrase in phrases(word):
            open_phrases.append((list(phrase.rest), phrase.kind, start, place))
        if kind is not None:
            items.append(Item(start, end, place, place + 1, sentence, kind))
            known += 1
        elif group == _WORD and 4 <= end - start <= MAX_SIZE:
            value = plain[start:end]
            weight = judge_word(value, low, plain, start, end)
            if weight is not None and value.isascii():
                items.append(item := Item(start, end, place, place + 1, sentence))
                item.value, item.shape, item.letters = value, weight, True
        place += 1
    gone = _judge(plain, low, numbers)
    return Message(plain, [item for item in items if id(item) not in gone] if gone else items, words, known)


def _joined_pieces(plain: str, low: str) -> dict[int, tuple[str, int, float]]:
    """Codes written in pieces that are not all digits: a u 8 k u f, AB12-CD34, X7K-92P."""
    found: dict[int, tuple[str, int, float]] = {}
    for match in _SPELT.finditer(plain, 0, len(low)):
        value = match.group().replace(" ", "")
        if not value.isdigit() and (value.isupper() or any(map(str.isdigit, value))):
            found[match.start()] = (value, match.end(), 0.8)
    if "-" not in low:
        return found
    for match in _HYPHENATED.finditer(plain, 0, len(low)):
        groups = match.group().split("-")
        value = "".join(groups)
        if value.isdigit() or value.isalpha() or len(value) > MAX_SIZE or low[match.start()] == " ":
            continue
        if all(group.isdigit() or group.isupper() or not group.isalpha() for group in groups):
            tagged = groups[0].isalpha() and all(map(str.isdigit, groups[1:]))
            if not tagged and any(not group.isalpha() and not group.isdigit() for group in groups):
                found[match.start()] = (value, match.end(), 0.5)
    return found


def _ends_sentence(low: str, start: int, end: int) -> bool:
    if low[start] != "." or end - start > 1:
        return True
    if end < len(low) and low[end] not in " \n":
        return False
    # "Rs. 500", "No. 12", "Ref. 4455": a short word and its point.
    before = low[max(0, start - 4) : start]
    return len(before) < 4 or before.isalnum() or not before[-1].isalpha()


def _judge(plain: str, low: str, numbers: list[Item]) -> set[int]:
    """Gives the number items their codes; returns those that became part of another."""
    gone: set[int] = set()
    index = 0
    while index < len(numbers):
        item = numbers[index]
        word = low[item.start : item.end]
        if not word.isdigit():
            value = plain[item.start : item.end]
            mixed = judge_mixed(value, word) if value.isascii() else None
            if mixed is not None and plain[item.start - 1 : item.start] not in ("*", "@", "#", "_", "."):
                item.value, offset, item.shape, item.labelled = mixed
                item.start += offset
                item.end = item.start + len(item.value)
            index += 1
            continue
        chain = [item]
        while index + len(chain) < len(numbers):
            after = numbers[index + len(chain)]
            last = chain[-1]
            if after.start - last.end != 1 or plain[last.end] not in _GAPS or low[last.end] != plain[last.end].lower():
                break
            if not low[after.start : after.end].isdigit():
                size = last.end - last.start
                glued = after.start + size  # a split code with text glued to it
                if plain[last.end] == "-" and size > 2 and low[after.start : glued].isdigit():
                    after.end = glued
                    chain.append(after)
                break
            chain.append(after)
        for verdict in judge_numbers(plain, [(part.start, part.end) for part in chain]):
            head = chain[verdict.first]
            head.end, head.until = chain[verdict.last].end, chain[verdict.last].until
            head.value, head.shape = verdict.value, verdict.shape
            gone.update(id(part) for part in chain[verdict.first + 1 : verdict.last + 1])
        index += len(chain)
    return gone
