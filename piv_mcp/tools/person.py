"""Asking the person through the client: MCP elicitation in both protocol eras."""

from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from pydantic import BaseModel, Field, StrictBool

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import AskFirst, DecisionReply, ElicitationError

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from piv_mcp.services import Lifespan

STATELESS = "2026-07-28"
"""From this protocol on the server cannot ask by itself: the client repeats the request with the answer."""

QUESTION = "approval"


class Approval(BaseModel):
    """The form. Submitting it without a tick is no approval."""

    approve: StrictBool = Field(title="Approve", description="Tick to approve. Anything else declines.")


class Caller:
    """The person behind one request (a `Person`)."""

    def __init__(self, ctx: "Context[Lifespan, Any]") -> None:
        self._ctx = ctx

    @property
    def can_be_asked(self) -> bool:
        capabilities = self._ctx.client_capabilities
        elicitation = capabilities.elicitation if capabilities is not None else None
        if elicitation is None:
            return False
        return elicitation.form is not None or elicitation.url is None  # neither named means forms

    @property
    def reply(self) -> DecisionReply | None:
        state = self._ctx.request_state
        answer = (self._ctx.input_responses or {}).get(QUESTION)
        if state is None or not isinstance(answer, ElicitResult):
            return None
        return DecisionReply(state, _decision(answer.action, (answer.content or {}).get("approve")))

    async def ask(self, entry_id: str, message: str) -> Decision:
        if (self._ctx.protocol_version or "") >= STATELESS:
            raise AskFirst(entry_id, message)
        try:
            answer = await self._ctx.elicit(message, Approval)
        except MCPError as error:  # it declared the capability, and refused the question
            raise ElicitationError(str(error)) from error
        except ValueError:  # accepted, with something else than a tick
            return "decline"
        return _decision(answer.action, answer.data.approve if answer.action == "accept" else None)

    async def progress(self, seconds: float, total: float, message: str) -> None:
        await self._ctx.report_progress(seconds, total, f"{message} ({seconds:.0f} of {total:.0f} s)")


def question(ask: AskFirst) -> InputRequiredResult:
    """The protocol's form of a question that comes before the answer."""
    params = ElicitRequestFormParams(message=ask.message, requested_schema=Approval.model_json_schema())
    return InputRequiredResult(input_requests={QUESTION: ElicitRequest(params=params)}, request_state=ask.entry_id)


def _decision(action: str, approve: object) -> Decision:
    if action == "accept":
        return "approve" if approve is True else "decline"
    return "cancel" if action == "cancel" else "decline"
