"""What of a template stands in no catalog: words that a person reads in English, whatever their language."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import jinja2
from jinja2 import nodes

READ = ("title", "aria-label", "aria-description", "placeholder", "alt")
"""Attributes that people read."""

NAMES = ("piv-mcp", "piv.day", "CSV", "JSON Lines")
VALUE = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for what a template fills in."""


def untranslated(source: str) -> list[str]:
    """The words of the template that do not go through `_()`."""
    reader = _Reader()
    reader.feed("".join(_pieces(jinja2.Environment(autoescape=True).parse(source))))
    reader.close()
    return reader.found


def _pieces(node: nodes.Node) -> Iterator[str]:
    """What the template writes, with every branch, in order."""
    if isinstance(node, nodes.TemplateData):
        yield node.data
    elif isinstance(node, nodes.Output):
        for part in node.nodes:
            yield from _pieces(part) if isinstance(part, nodes.TemplateData) else _written(part)
    else:
        for child in node.iter_child_nodes():
            yield from _pieces(child)


def _written(expression: nodes.Node) -> Iterator[str]:
    """The constants that an expression writes as they are. What a call gives is another matter."""
    match expression:
        case nodes.Const(value=str(text)):
            yield text
        case nodes.CondExpr():
            for branch in (expression.expr1, expression.expr2):
                yield from _written(branch) if branch is not None else ()
        case nodes.Filter(node=nodes.Node() as filtered):
            yield from _written(filtered)
        case nodes.BinExpr() | nodes.Concat() | nodes.And() | nodes.Or():
            for child in expression.iter_child_nodes():
                yield from _written(child)
        case _:
            yield VALUE


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        given = dict(attrs)
        is_button = tag == "input" and given.get("type") in ("submit", "button", "reset")
        for name, value in attrs:
            if name in READ or (is_button and name == "value"):
                self._note(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            for texts in re.findall(r'"([^"\n]*)"|`([^`]*)`', re.sub(r"^\s*//.*$", "", data, flags=re.MULTILINE)):
                text = "".join(texts)
                if re.search(r"^\w.*[A-Za-z]{2,} [A-Za-z]{2,}", re.sub(r"\$\{.*?\}", "value", text)):
                    self.found.append(text)
        elif self._inside not in ("style", "code"):
            self._note(data)

    def _note(self, text: str) -> None:
        rest = text
        for name in NAMES:
            rest = rest.replace(name, "")
        if re.search(r"[^\W\d_]", rest):
            self.found.append(" ".join(text.replace(VALUE, " ").split()))
