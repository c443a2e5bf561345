"""The catalogs of the languages, `piv_mcp/text/locale/`: made of the texts in the code and in the templates.

`UPDATE_LOCALES=1 .venv/bin/python -m pytest tests/test_languages.py` adds new texts to the `.po` files, which a person
then translates, drops those that are gone, and writes the `.mo` files that the program reads.
"""

import ast
from collections.abc import Iterator, Sequence
from gettext import GNUTranslations
from pathlib import Path
from typing import Any, cast

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from piv_mcp.api.domains import CreateDnsRecord, DnsRecord
from piv_mcp.api.models import Request
from piv_mcp.spending.actions import ACTIONS
from piv_mcp.spending.messages import ENGLISH
from piv_mcp.spending.receipt import DECIDERS, SOMEBODY
from piv_mcp.text.language import DOMAIN, FOLDER, LOCALES, Code

PACKAGE = Path(__file__).parent.parent / "piv_mcp"
TRANSLATED: tuple[Code, ...] = ("zh-Hans", "ru")
KEYWORDS: dict[str, Any] = {"_": None, "gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
UNTRANSLATED = ("{text}",)

Forms = tuple[str, ...]
"""A text: alone, or with the forms that go with counts."""
Key = tuple[Forms, str | None]
"""A text, and the context in which it means what it does."""


class LanguageCatalog(Catalog):
    """A catalog without dates and names: its file changes only when a text does."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return [
            ("Language", str(self.locale)),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
            ("Plural-Forms", self.plural_forms),
        ]


def texts() -> Iterator[tuple[str, str | tuple[str, ...], str | None]]:
    """Every text that a person reads: its file, the text, with its plural if it has one, and its context."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for call in calls(file):
            given = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
            match name_of(call), given:
                case "_" | "gettext", [str(text)]:
                    yield shown(file), text, None
                case "ngettext", [str(one), str(many), *_]:
                    yield shown(file), (one, many), None
                case "pgettext", [str(context), str(text)]:
                    yield shown(file), text, context
                case _:
                    pass  # a text of a table, below
    for file in sorted(PACKAGE.rglob("templates/*.html")):
        with file.open("rb") as source:
            for _, text, _, _ in extract("jinja2.ext:babel_extract", source, keywords=KEYWORDS):
                yield shown(file), text, None
    yield from (("piv_mcp/spending/messages.py", text, None) for text in ENGLISH.values())
    yield from (("piv_mcp/spending/receipt.py", text, None) for text in (*DECIDERS.values(), SOMEBODY))
    yield from (("piv_mcp/spending/actions/", name, "argument") for name in arguments())
    yield from (("piv_mcp/spending/actions/", area, "area") for area in sorted({a.area for a in ACTIONS.values()}))


def calls(file: Path) -> Iterator[ast.Call]:
    """The calls of a module that translate."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and name_of(node) in KEYWORDS:
            yield node


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def shown(file: Path) -> str:
    return file.relative_to(PACKAGE.parent).as_posix()


def arguments() -> list[str]:
    """The names of all arguments of all actions, and of what stands in them."""
    names = {"record", *DnsRecord.model_fields, *CreateDnsRecord.model_fields}
    for action in ACTIONS.values():
        for name, field in action.model_fields.items():
            kind = field.annotation
            names |= set(kind.model_fields) if isinstance(kind, type) and issubclass(kind, Request) else {name}
    return sorted(names)


def folder(code: Code) -> Path:
    return FOLDER / LOCALES[code] / "LC_MESSAGES"


def source_file(code: Code) -> Path:
    return folder(code) / f"{DOMAIN}.po"


def compiled_file(code: Code) -> Path:
    return folder(code) / f"{DOMAIN}.mo"


def empty(code: Code) -> LanguageCatalog:
    catalog = LanguageCatalog(LOCALES[code], fuzzy=False)
    catalog.header_comment = f"# What piv-mcp says to people ({code}). See tests/locales.py."
    return catalog


def extracted(code: Code) -> LanguageCatalog:
    """The catalog of a language with all texts, and no translation."""
    catalog = empty(code)
    for name, text, context in texts():
        if text not in UNTRANSLATED:
            catalog.add(text, locations=[(name, 0)], context=context)
    return catalog


def stored(code: Code) -> LanguageCatalog:
    """The catalog that translators write."""
    catalog = empty(code)
    if source_file(code).exists():
        with source_file(code).open("rb") as file:
            for message in (kept := read_po(file, locale=LOCALES[code])):
                if message.id:
                    catalog[message.id] = message
            catalog.obsolete = kept.obsolete
    return catalog


def compiled(code: Code) -> GNUTranslations:
    """The catalog that the program reads."""
    with compiled_file(code).open("rb") as file:
        return GNUTranslations(file)


def contents(catalog: Catalog) -> dict[Key, Forms]:
    """The texts of a catalog with their translations; empty where there is none."""
    return {(_forms(message.id), message.context): _forms(message.string) for message in catalog if message.id}


def update(code: Code) -> None:
    """Write the files of a language: with all texts, each translated as it was."""
    known, catalog = stored(code), extracted(code)
    for message in catalog:
        if message.id and (kept := known.get(message.id, message.context)):
            message.string = kept.string
        message.flags.clear()
    folder(code).mkdir(parents=True, exist_ok=True)
    with source_file(code).open("wb") as file:
        write_po(file, catalog, width=120, include_lineno=False, sort_by_file=True)
    with compiled_file(code).open("wb") as file:
        write_mo(file, catalog)


def _forms(text: object) -> Forms:
    return (text or "",) if isinstance(text, str | None) else tuple(map(str, cast("Sequence[str]", text)))
