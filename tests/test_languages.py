"""The languages of people: every text is translated, and the question is put in theirs.

`UPDATE_LOCALES=1` rewrites the catalogs: see `locales`.
"""

import ast
import os
import re
import string
from collections.abc import Iterator

import locales
import pytest
from locales import TRANSLATED
from templates import untranslated

from piv_mcp.text.language import Code

TEMPLATES = sorted(file for file in locales.PACKAGE.rglob("templates/*") if file.suffix in (".html", ".js"))

languages = pytest.mark.parametrize("code", TRANSLATED)


@pytest.fixture(scope="module", autouse=True)
def catalogs() -> None:
    if os.environ.get("UPDATE_LOCALES"):
        for code in TRANSLATED:
            locales.update(code)


def fields(text: str) -> set[tuple[str, str]]:
    """What is filled in: names, and how the value is written."""
    return {(name, spec or "") for _, name, spec, _ in string.Formatter().parse(text) if name is not None}


# the catalogs


@languages
def test_the_catalog_has_every_text_and_no_other(code: Code) -> None:
    catalog = locales.stored(code)
    assert locales.contents(catalog).keys() == locales.contents(locales.extracted(code)).keys(), (
        "stale: run this test once with UPDATE_LOCALES=1"
    )
    assert not catalog.obsolete


@languages
def test_every_text_is_translated(code: Code) -> None:
    catalog = locales.stored(code)
    assert [text for text, translated in locales.contents(catalog).items() if not all(translated)] == []
    assert [message.id for message in catalog if message.fuzzy] == []


@languages
def test_translations_fill_in_what_the_text_does(code: Code) -> None:
    for (text, _), translated in locales.contents(locales.stored(code)).items():
        for form in translated:
            assert fields(form) == fields(text[-1]), form


@languages
def test_a_count_has_the_forms_of_its_language(code: Code) -> None:
    many = {"ru": 3, "zh-Hans": 1}[code]
    for (text, _), translated in locales.contents(locales.stored(code)).items():
        assert len(translated) == (many if len(text) > 1 else 1), text


@languages
def test_the_program_reads_what_the_translators_wrote(code: Code) -> None:
    read = locales.compiled(code)
    for (text, context), translated in locales.contents(locales.stored(code)).items():
        if len(text) > 1:
            assert {read.ngettext(text[0], text[1], count) for count in range(25)} == set(translated)
        else:
            assert (read.gettext(*text) if context is None else read.pgettext(context, *text)) == translated[0]


@languages
def test_the_catalog_tells_neither_a_date_nor_whose_machine_wrote_it(code: Code) -> None:
    text = locales.source_file(code).read_text("utf-8")
    assert "\r" not in text
    for word in ("Date", "Translator", "Generated", str(locales.PACKAGE.parent)):
        assert word not in text


# texts that no catalog could have


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_outside_the_catalogs(template: locales.Path) -> None:
    text = template.read_text("utf-8")
    assert untranslated(f"<script>{text}</script>" if template.suffix == ".js" else text) == []


def test_words_of_a_template_outside_the_catalogs_are_found() -> None:
    source = """<h1 title="{{ _('Yes') }}">{{ _("Yes") }}: {{ name }}</h1><style>a { b: c }</style>
    <p class="{{ 'short' if name }}" aria-label="An address">{% if name %}A branch{% endif %} &middot; piv-mcp</p>
    <b>{{ "A choice" if name else _("another") }}</b>
    <script>const a = "b"; say("Two words"); say(`of ${a} three`);</script>"""
    assert untranslated(source) == ["An address", "A branch · piv-mcp", "A choice", "Two words", "of ${a} three"]


TABLES = {"piv_mcp/text/language.py", "piv_mcp/spending/messages.py", "piv_mcp/spending/receipt.py"}
"""Modules that translate what stands in a table of `locales.texts`."""


def test_every_text_that_is_translated_is_written_out_where_it_is_or_in_a_table() -> None:
    for file in sorted(locales.PACKAGE.rglob("*.py")):
        if locales.shown(file) in TABLES:
            continue
        for call in locales.calls(file):
            texts = call.args[:2] if locales.name_of(call) in ("ngettext", "pgettext") else call.args[:1]
            assert all(isinstance(text, ast.Constant) for text in texts), f"{file}:{call.lineno}: {ast.unparse(call)}"


NO_WORDS_FOR_PEOPLE = {
    "User verification",  # what a library's error says, by which it is told from others
    # What a script is told, which loads the page anew:
    "Sign in first.",
    "This does not wait for a decision any more.",
    # What another page's script is told:
    "This request does not come from a page of piv-mcp.",
}


def texts_in(node: ast.AST) -> Iterator[str]:
    """The texts of a module that are translated nowhere. Not those for developers: docstrings and what is logged."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Call() if locales.name_of(child) in locales.KEYWORDS or ast.unparse(child.func).startswith(
                "_log."
            ):
                continue
            case ast.Constant(value=str(text)):
                yield text
            case _:
                yield from texts_in(child)


PERSONAL = sorted([*(locales.PACKAGE / "console").glob("*.py"), locales.PACKAGE / "notices" / "wording.py"])
"""The modules whose texts are for people."""


@pytest.mark.parametrize("module", PERSONAL, ids=lambda path: f"{path.parent.stem}/{path.stem}")
def test_no_page_or_notice_says_a_sentence_outside_the_catalogs(module: locales.Path) -> None:
    texts = set(texts_in(ast.parse(module.read_text("utf-8")))) - NO_WORDS_FOR_PEOPLE
    assert [text for text in texts if re.match(r"[A-Z][a-z]+,? [a-z]+", text)] == []
