"""Makes pages of the templates in `templates/`."""

import secrets
from functools import cache
from pathlib import Path

import jinja2
from starlette.responses import HTMLResponse, Response

from piv_mcp.web.guards import PAGE_HEADERS


def page(template: str, **values: object) -> Response:
    """A page that nobody keeps, with a fresh `nonce` for what stands in it."""
    nonce = secrets.token_urlsafe(16)
    headers = {name: value.replace("{nonce}", nonce) for name, value in PAGE_HEADERS.items()}
    return HTMLResponse(_templates().get_template(template).render(values | {"nonce": nonce}), headers=headers)


@cache
def _templates() -> jinja2.Environment:
    folder = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    return jinja2.Environment(
        loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
