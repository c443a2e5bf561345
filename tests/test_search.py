"""Clients that load tools on demand find them by a search over names and descriptions."""

import json
import math
import re
from collections import Counter

import pytest
from ways_of_asking import WAYS

from piv_mcp.server import catalog
from piv_mcp.server.registration import wire_definition

CHARACTERS = 27_000
"""Of names, descriptions and input schemas, all together."""

FIRST = 5
SHARE = 0.93
"""Of the ways of asking, so many find a right tool among the first five."""


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.casefold().replace("_", " "))


class Bm25:
    """The textbook's ranking of documents by the words of a question (k1 = 1.2, b = 0.75)."""

    def __init__(self, documents: dict[str, str]) -> None:
        self._words = {name: Counter(_words(text)) for name, text in documents.items()}
        self._average = sum(words.total() for words in self._words.values()) / len(documents)
        self._holders = Counter(word for words in self._words.values() for word in words)

    def first(self, question: str, count: int = FIRST) -> list[str]:
        scores = {name: self._score(words, question) for name, words in self._words.items()}
        return sorted(scores, key=lambda name: (-scores[name], name))[:count]

    def _score(self, words: Counter[str], question: str) -> float:
        length = 1.2 * (0.25 + 0.75 * words.total() / self._average)
        return sum(
            math.log(1 + (len(self._words) - self._holders[word] + 0.5) / (self._holders[word] + 0.5))
            * words[word]
            * 2.2
            / (words[word] + length)
            for word in _words(question)
            if word in words
        )


def _documents(*, parameters: bool) -> dict[str, str]:
    documents: dict[str, str] = {}
    for _, spec in catalog.everything():
        definition = wire_definition(spec)
        parts = [spec.name, definition["description"]]
        if parameters:
            parts += [
                f"{name} {schema.get('description', '')}"
                for name, schema in definition["inputSchema"].get("properties", {}).items()
            ]
        documents[spec.name] = " ".join(parts)
    return documents


@pytest.mark.parametrize("parameters", [False, True], ids=["descriptions", "with parameters"])
def test_what_people_say_finds_the_right_tool_among_the_first_five(parameters: bool) -> None:
    search = Bm25(_documents(parameters=parameters))
    missed = [
        f"{said!r}: {', '.join(search.first(said))}; right: {right}"
        for said, right in WAYS
        if not set(right.split()) & set(search.first(said))
    ]
    assert len(missed) <= (1 - SHARE) * len(WAYS), "\n" + "\n".join(missed)


def test_all_that_a_model_reads_of_the_tools_stays_short() -> None:
    read = [
        {"name": spec.name, "description": definition["description"], "input_schema": definition["inputSchema"]}
        for _, spec in catalog.everything()
        for definition in [wire_definition(spec)]
    ]
    assert sum(len(json.dumps(tool, ensure_ascii=False, separators=(",", ":"))) for tool in read) <= CHARACTERS
