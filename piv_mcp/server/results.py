"""Converts our models and errors to the SDK's results and errors."""

import json
from bisect import bisect_left
from typing import Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel

from piv_mcp.api.models import Model
from piv_mcp.errors import NotFoundError, PivError
from piv_mcp.server.shortening import shortened
from piv_mcp.server.wording import error_text
from piv_mcp.tools.answers import Bounded

MAX_CHARS = 20_000
"""Characters of JSON in one answer: some 7,000 tokens."""


def compact(model: BaseModel) -> tuple[str, dict[str, Any]]:
    """(text, object): the model as compact JSON without nulls. From a model of the API, only fields that were sent.

    At most `MAX_CHARS` characters long. A list loses its last rows and says how to get them; what is too long without
    a list, or with one row, is cut visibly.
    """
    content = _content(model)
    text = _json(content)
    if len(text) > MAX_CHARS and isinstance(model, Bounded) and len(model.listed) > 1:
        content = _content(model.first(_rows_that_fit(model)))
        text = _json(content)
    if len(text) > MAX_CHARS:
        content = shortened(content, lambda part: len(_json(part)) <= MAX_CHARS)
        text = _json(content)
    return text, content


def _rows_that_fit(model: Bounded) -> int:
    """How many rows an answer can show, at least one."""
    counts = range(2, len(model.listed))
    return 1 + bisect_left(counts, True, key=lambda count: len(_json(_content(model.first(count)))) > MAX_CHARS)


def _content(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_none=True, exclude_unset=isinstance(model, Model))


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def answer(model: BaseModel) -> CallToolResult:
    """The result of a tool that returned `model`."""
    text, content = compact(model)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=content)


def resource_error(uri: str, error: PivError) -> ResourceError:
    """The SDK's error for an error in a resource. MCP has a code of its own for a resource that does not exist."""
    if isinstance(error, NotFoundError):
        return ResourceNotFoundError(f"Unknown resource: {uri}. {error_text(error)}")
    return ResourceError(error_text(error))


def failure(text: str) -> CallToolResult:
    """The result of a tool that failed."""
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
