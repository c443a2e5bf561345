"""Converts our models and errors to the SDK's results and errors."""

import json
from typing import Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel

from piv_mcp.api.models import Model
from piv_mcp.errors import NotFoundError, PivError
from piv_mcp.server.wording import error_text


def compact(model: BaseModel) -> tuple[str, dict[str, Any]]:
    """(text, object): the model as compact JSON without nulls. From a model of the API, only fields that were sent."""
    content = model.model_dump(mode="json", exclude_none=True, exclude_unset=isinstance(model, Model))
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")), content


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
