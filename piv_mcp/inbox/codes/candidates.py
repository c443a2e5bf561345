"""Parse an SMS into its known words and its candidates: everything that could be a code.

A number that is clearly something else (a date, a time, an amount, a telephone number, the masked
end of a card) stays in the list without a value, so that the label before it is not applied to the
next number.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.lexicon import Kind, classify, find_words, is_unspaced, phrases
from piv_mcp.inbox.codes.numbers import MAX_SIZE, judge_mixed, judge_numbers, judge_word

_WORD, _RUN, _NUMBER, _STOP = 1, 2, 3, 4
# A word, a run of letters outside ASCII, a word with digits, the end of a sentence. Folding replaces
# punctuation outside ASCII, so that every character left there is a letter.
_TOKEN: Final = re.compile(r"([a-z\ufffd]+(?![a-z0-9\ufffd]))|([^\x00-\x7f\ufffd]+)|([a-z0-9]+)|([.!?;\n]+)")
_SITES: Final = (
    "com|net|org|gov|edu|info|biz|app|dev|io|online|site|shop|xyz|example"
    "|ru|ua|uk|fr|pl|cz|br|mx|ar|cn|jp|kr|tr|gr|il|ir|au|ca|nl|eu|vn|th"
)
# Web and mail addresses.
_ADDRESS: Final = re.compile(
    r"(?:https?://|www\.)[!-~]+|[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9][a-z0-9.-]{0,63}"
    r"|(?<![a-z0-9@.-])[a-z0-9-]{1,40}(?:\.[a-z0-9-]{1,40}){0,4}\."
    rf"(?:[a-z]{{2,12}}/[!-~]*|(?:{_SITES})(?![a-z0-9.-]))"
)
_DOTTED: Final = re.compile(r"\.[a-z0-9]|://")
# The hash that ends a message for Android's SMS Retriever.
_APP_HASH: Final = re.compile(r"(?:^|\s)(?=\S{0,10}[a-z])(?=\S{0,10}[0-9A-Z])[A-Za-z0-9+/]{11}\s*$")
_SPELT_OUT: Final = re.compile(
    r"[A-Za-z0-9]([ -])(?<![^\s:\"'(\[【「]..)[A-Za-z0-9](?:\1[A-Za-z0-9]){2,8}(?![^\s.,;!\"')\]】」])"
)
_HYPHENATED: Final = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z0-9]{2,6}(?:-[A-Za-z0-9]{2,6}){1,2}(?![A-Za-z0-9-])")
_SHORT_WORD: Final = re.compile(r"(?<![^\W\d_])[^\W\d_]{1,3}$|nr$")
_NO_ABBREVIATIONS: Final = ("pin", "otp", "tan")
_SEPARATORS: Final = frozenset(" -.,:/")


class Item:
    """A known word, which has a `kind`, or a candidate, which has none. A candidate without a `value` is no code.

    `start` and `end` are offsets in characters; `word_start` and `word_end` count words from the start of the message.
    `weight` is how much the form of a candidate looks like a code; for a word that names a code, what the words beside
    it add. `labelled`: the candidate was written together with such a word ("OTP123456"). `letters`: it has no digits.
    """

    __slots__ = ("end", "kind", "labelled", "letters", "sentence", "start", "value", "weight", "word_end", "word_start")

    def __init__(
        self, start: int, end: int, word_start: float, word_end: float, sentence: int, kind: Kind | None = None
    ) -> None:
        self.start = start
        self.end = end
        self.word_start = word_start
        self.word_end = word_end
        self.sentence = sentence
        self.kind = kind
        self.value: str | None = None
        self.weight = 0.0
        self.labelled = False
        self.letters = False


class ParsedMessage(NamedTuple):
    """A parsed SMS: its text, its items in order, and how many words it has and how many of them are known."""

    plain: str
    items: list[Item]
    words: int
    known: int


def blank_addresses(folded: str) -> str:
    """Replace web and mail addresses in the folded text by as many spaces."""
    return _ADDRESS.sub(lambda match: " " * len(match.group()), folded) if _DOTTED.search(folded) else folded


def parse_message(plain: str, folded: str) -> ParsedMessage:
    """Find the known words and the candidates of a message.

    `plain` is the normalised text, `folded` the same in lower case and without accents, of the same length.
    """
    app_hash = _APP_HASH.search(plain, max(0, len(plain.rstrip()) - 12))
    if app_hash is not None:
        folded = folded[: app_hash.start()]
    spelt = _joined_pieces(plain, folded)
    items: list[Item] = []
    numbers: list[Item] = []
    open_phrases: list[tuple[tuple[str, ...], Kind, int, float]] = []
    place = 0.0
    sentence = words = known = skip_to = 0
    for match in _TOKEN.finditer(folded):
        group = match.lastindex
        start, end = match.span()
        if start < skip_to:
            continue
        if group == _STOP:
            if _ends_sentence(folded, start, end):
                sentence += 1
                open_phrases = []
            continue
        if start in spelt:
            value, skip_to, weight = spelt[start]
            items.append(item := Item(start, skip_to, place, place + 1, sentence))
            item.value, item.weight, item.letters = value, weight, value.isalpha()
            place += 1
            continue
        word = match.group()
        if group == _RUN and is_unspaced(word[0]):
            for found in find_words(word):
                at, until = place + found.start / 3, place + found.end / 3
                items.append(Item(start + found.start, start + found.end, at, until, sentence, found.kind))
                known += 1
            place += len(word) / 3
            words += 1 + len(word) // 4
            continue
        if group == _NUMBER:
            items.append(item := Item(start, end, place, place + 1, sentence))
            if word[:-1].isalpha() and classify(word[:-1]) is Kind.LOCK:
                item.kind = Kind.LOCK  # "PUK2"
            else:
                numbers.append(item)
            place += 1
            open_phrases = []
            continue
        words += 1
        kind = classify(word)
        if open_phrases:
            still: list[tuple[tuple[str, ...], Kind, int, float]] = []
            for rest, phrase_kind, begin, begin_place in open_phrases:
                if rest[0] != word and not (rest[0][-1] == "*" and word.startswith(rest[0][:-1])):
                    continue
                if len(rest) == 1:
                    while items and items[-1].start >= begin:
                        items.pop()  # a phrase says more than its words
                    items.append(Item(begin, end, begin_place, place + 1, sentence, phrase_kind))
                    known += 1
                    kind = None
                else:
                    still.append((rest[1:], phrase_kind, begin, begin_place))
            open_phrases = still
        if begun := phrases(word):
            open_phrases += [(phrase.rest, phrase.kind, start, place) for phrase in begun]
        if kind is not None:
            items.append(Item(start, end, place, place + 1, sentence, kind))
            known += 1
        elif group == _WORD and 4 <= end - start <= MAX_SIZE:
            value = plain[start:end]
            weight = judge_word(value, folded, plain, start, end)
            if weight is not None and value.isascii():
                items.append(item := Item(start, end, place, place + 1, sentence))
                item.value, item.weight, item.letters = value, weight, True
        place += 1
    merged = _read_numbers(plain, folded, numbers)
    return ParsedMessage(plain, [item for item in items if id(item) not in merged] if merged else items, words, known)


def _joined_pieces(plain: str, folded: str) -> dict[int, tuple[str, int, float]]:
    """Find codes that are written in pieces and have letters: a u 8 k u f, AB12-CD34, X7K-92P.

    Returns (code, end offset, weight) by start offset.
    """
    found: dict[int, tuple[str, int, float]] = {}
    for match in _SPELT_OUT.finditer(plain, 0, len(folded)):
        value = match.group().replace(match.group(1), "")
        if not value.isdigit() and (value.isupper() or any(map(str.isdigit, value))):
            found[match.start()] = (value, match.end(), 0.8)
    if "-" not in folded:
        return found
    for match in _HYPHENATED.finditer(plain, 0, len(folded)):
        groups = match.group().split("-")
        value = "".join(groups)
        if value.isdigit() or value.isalpha() or len(value) > MAX_SIZE or folded[match.start()] == " ":
            continue
        mixed = [group for group in groups if not group.isdigit() and not group.isalpha()]
        if mixed and all(group.isupper() for group in groups if group.isalpha()):
            found[match.start()] = (value, match.end(), 0.5)
    return found


def _ends_sentence(folded: str, start: int, end: int) -> bool:
    if folded[start] != "." or end - start > 1:
        return True
    if end < len(folded) and folded[end] not in " \n":
        return False
    # The point of an abbreviation ends no sentence: "Rs. 500", "No. 12", "Tel. 4455", "Kundennr. 4455".
    word = _SHORT_WORD.search(folded, max(0, start - 4), start)
    return word is None or word.group() in _NO_ABBREVIATIONS


def _read_numbers(plain: str, folded: str, numbers: list[Item]) -> set[int]:
    """Give each number that may be a code its value.

    Returns the ids (`id()`) of the items that became part of the item before them, as in "123-456".
    """
    merged: set[int] = set()
    index = 0
    while index < len(numbers):
        item = numbers[index]
        word = folded[item.start : item.end]
        if not word.isdigit():
            value = plain[item.start : item.end]
            mixed = judge_mixed(value, word) if value.isascii() else None
            if mixed is not None and plain[item.start - 1 : item.start] not in ("*", "@", "#", "_", "."):
                item.value, offset, item.weight, item.labelled = mixed
                item.start += offset
                item.end = item.start + len(item.value)
            index += 1
            continue
        chain = [item]
        while index + len(chain) < len(numbers):
            after = numbers[index + len(chain)]
            last = chain[-1]
            if (
                after.start - last.end != 1
                or plain[last.end] not in _SEPARATORS
                or folded[last.end] != plain[last.end].lower()
            ):
                break
            if not folded[after.start : after.end].isdigit():
                size = last.end - last.start
                glued = after.start + size  # a split code with text directly after it: "123-456is your code"
                if plain[last.end] == "-" and size > 2 and folded[after.start : glued].isdigit():
                    after.end = glued
                    chain.append(after)
                break
            chain.append(after)
        for verdict in judge_numbers(plain, [(part.start, part.end) for part in chain]):
            head = chain[verdict.first]
            head.end, head.word_end = chain[verdict.last].end, chain[verdict.last].word_end
            head.value, head.weight = verdict.value, verdict.weight
            merged.update(id(part) for part in chain[verdict.first + 1 : verdict.last + 1])
        index += len(chain)
    return merged
