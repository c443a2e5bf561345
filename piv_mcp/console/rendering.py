"""Makes pages of the templates in `templates/`."""

import secrets
from functools import cache
from pathlib import Path

import jinja2
from starlette.responses import HTMLResponse, Response

from piv_mcp.console.look import PersonLook
from piv_mcp.text.language import Language
from piv_mcp.web.guards import PAGE_HEADERS


def page(look: PersonLook, template: str, /, *, http_status: int = 200, **values: object) -> Response:
    """The page for this look. The template has `look`, and what `bare_page` gives it."""
    return bare_page(look.language, template, http_status=http_status, look=look, **values)


def bare_page(language: Language, template: str, /, *, http_status: int = 200, **values: object) -> Response:
    """A page that nobody keeps, such as one for somebody who is not signed in. The template has `language`, its texts
    by `_` and `ngettext`, and a fresh `nonce` for its style and script."""
    nonce = secrets.token_urlsafe(16)
    given = {"nonce": nonce, "language": language, "_": language.gettext, "ngettext": language.ngettext}
    content = _templates().get_template(template).render(values | given)
    headers = {name: value.replace("{nonce}", nonce) for name, value in PAGE_HEADERS.items()}
    return HTMLResponse(content, http_status, headers={**headers, "Content-Language": language.code})


def prepare(language: Language) -> None:
    """Load what the first page would have to wait for: the templates, and the locale."""
    for name in _templates().list_templates(extensions=["html"]):
        _templates().get_template(name)
    language.age(1)
    language.number(1)


@cache
def _templates() -> jinja2.Environment:
    folder = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    return jinja2.Environment(
        loader=folder,
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
