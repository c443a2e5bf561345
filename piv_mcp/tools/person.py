"""Ask the person through the MCP client, by elicitation, in protocol versions before 2026-07-28 and from then on."""

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
"""From this protocol version on, the server sends no requests: the client repeats its request with the answer."""

QUESTION = "approval"
"""The key of the question among a request's input requests and responses."""


class Approval(BaseModel):
    """The form that the client shows. Submitting it without a tick declines."""

    approve: StrictBool = Field(title="Approve", description="Tick to approve. Anything else declines.")


class ClientPerson:
    """The person behind one request, asked through its client (implements `Person`)."""

    def __init__(self, ctx: "Context[Lifespan, Any]") -> None:
        self._ctx = ctx

    @property
    def can_be_asked(self) -> bool:
        capabilities = self._ctx.client_capabilities
        elicitation = capabilities.elicitation if capabilities is not None else None
        if elicitation is None:
            return False
        return elicitation.form is not None or elicitation.url is None  # a client that names neither shows forms

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
        except MCPError as error:  # the client declared the capability, but refused the request
            raise ElicitationError(str(error)) from error
        except ValueError:  # accepted without a valid tick
            return "decline"
        return _decision(answer.action, answer.data.approve if answer.action == "accept" else None)

    async def progress(self, seconds: float, total: float, message: str) -> None:
        await self._ctx.report_progress(seconds, total, f"{message} ({seconds:.0f} of {total:.0f} s)")


def question(ask: AskFirst) -> InputRequiredResult:
    """The answer to a request that needs the person's decision first (protocol 2026-07-28)."""
    params = ElicitRequestFormParams(message=ask.message, requested_schema=Approval.model_json_schema())
    return InputRequiredResult(input_requests={QUESTION: ElicitRequest(params=params)}, request_state=ask.entry_id)


def _decision(action: str, approve: object) -> Decision:
    if action == "accept":
        return "approve" if approve is True else "decline"
    return "cancel" if action == "cancel" else "decline"
