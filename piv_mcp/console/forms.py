"""Reads what a form of a page sends."""

from urllib.parse import parse_qs

from starlette.requests import Request

from piv_mcp.web.guards import read_body

MAX_FORM = 4096
"""Bytes. Maximum size of a submitted form."""


async def fields_of(request: Request, max_bytes: int = MAX_FORM) -> dict[str, str]:
    """The fields of a form, each with its first value. A form that is too large has none."""
    body = await read_body(request, max_bytes) or b""
    return {name: values[0] for name, values in parse_qs(body.decode("ascii", "replace")).items()}
