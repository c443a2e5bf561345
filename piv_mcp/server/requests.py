"""Refuses requests that no handler can serve, and says why.

The SDK answers "Invalid request parameters", and ignores a cursor.
"""

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS
from pydantic import ValidationError

SDK_REFUSAL = "Invalid request parameters"


async def refuse_in_words(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """A middleware of the SDK.

    Raises:
        MCPError: the parameters are invalid, or there was no handshake.
    """
    try:
        result = await call_next(ctx)
    except ValidationError as error:
        places = sorted({".".join(map(str, item["loc"][:2])) for item in error.errors(include_input=False)})
        raise MCPError(
            INVALID_PARAMS, f"{SDK_REFUSAL} of {ctx.method}, missing or wrong: {', '.join(places)}"
        ) from None
    except MCPError as error:
        if error.error.message != SDK_REFUSAL or ctx.session.client_params is not None:
            raise
        raise MCPError(
            INVALID_PARAMS, f"{ctx.method} came before the handshake: send initialize first, then this again"
        ) from None
    # Last, so that a method that does not exist and a missing handshake are called what they are.
    if ctx.method.endswith("/list") and (ctx.params or {}).get("cursor"):
        raise MCPError(INVALID_PARAMS, f"Unknown cursor: {ctx.method} has one page, so call it without a cursor")
    return result
