"""Our answers and errors in the SDK's forms."""

import json
from typing import Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel

from piv_mcp.api.models import Model
from piv_mcp.errors import NotFoundError, PivError
from piv_mcp.server.wording import words


def compact(model: BaseModel) -> tuple[str, dict[str, Any]]:
    """A model as compact JSON without nulls, as text and as an object. Of what piv.day sent, only what it sent."""
    content = model.model_dump(mode="json", exclude_none=True, exclude_unset=isinstance(model, Model))
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")), content


def answer(model: BaseModel) -> CallToolResult:
    """A model as the answer of a tool."""
    text, content = compact(model)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=content)


def resource_error(uri: str, error: PivError) -> ResourceError:
    """The SDK's form of an error in a resource; not-found as the protocol asks."""
    if isinstance(error, NotFoundError):
        return ResourceNotFoundError(f"Unknown resource: {uri}. {words(error)}")
    return ResourceError(words(error))


def failure(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
