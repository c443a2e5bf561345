"""Ask the person through the MCP client, by elicitation, in protocol versions before 2026-07-28 and from then on."""

from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from pydantic import BaseModel, StrictBool, TypeAdapter, ValidationError

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import AskFirst, DecisionReply, Dialogue, ElicitationError, Question
from piv_mcp.text.untrusted import one_line

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from piv_mcp.services import Lifespan
    from piv_mcp.store.agents import Agent

STATELESS = "2026-07-28"
"""From this protocol version on, the server sends no requests: the client repeats its request with the answer."""

QUESTION = "approval"
"""The key of the question among a request's input requests and responses."""


_STATE = TypeAdapter(Question)
"""What the state of a question holds, which the client sends back with the answer."""


class Approval(BaseModel):
    """The form that the client shows. Submitting it without a tick declines."""

    approve: StrictBool

    @classmethod
    def schema_of(cls, dialogue: Dialogue) -> dict[str, Any]:
        """The form with the dialogue's words."""
        schema = cls.model_json_schema()
        schema["properties"]["approve"] |= {"title": dialogue.approve, "description": dialogue.hint}
        return schema


class ClientPerson:
    """The person behind one request, asked through its client (implements `Person`).

    Behind an `agent` that is not attended there is a program: its answers approve nothing, and it is not asked.
    """

    def __init__(self, ctx: "Context[Lifespan, Any]", agent: "Agent | None" = None) -> None:
        self._ctx = ctx
        self._is_attended = agent is None or bool(agent.attended)

    @property
    def can_be_asked(self) -> bool:
        if not self._is_attended:
            return False
        capabilities = self._ctx.client_capabilities
        elicitation = capabilities.elicitation if capabilities is not None else None
        if elicitation is None:
            return False
        return elicitation.form is not None or elicitation.url is None  # a client that names neither shows forms

    @property
    def reply(self) -> DecisionReply | None:
        state = self._ctx.request_state
        answer = (self._ctx.input_responses or {}).get(QUESTION)
        if not self._is_attended or state is None or not isinstance(answer, ElicitResult):
            return None
        question = _unsealed(state)
        if question is None:
            return None
        try:
            return DecisionReply(question, _decision(answer))
        except ElicitationError as error:
            return DecisionReply(question, error)

    async def ask(self, question: Question, dialogue: Dialogue) -> Decision:
        if (self._ctx.protocol_version or "") >= STATELESS:
            raise AskFirst(question, dialogue)
        session, request_id = self._ctx.session, self._ctx.request_id
        try:
            answer = await session.elicit_form(dialogue.message, Approval.schema_of(dialogue), request_id)
        except MCPError as error:  # the client declared the capability, but refused the request
            raise ElicitationError(f"The client could not show the question ({one_line(str(error), 200)})") from error
        except ValidationError as error:
            places = sorted({".".join(map(str, item["loc"])) for item in error.errors(include_input=False)})
            raise ElicitationError(
                f"The client's answer is none of MCP (wrong: {one_line(', '.join(places), 200)}): it counts for nothing"
            ) from error
        return _decision(answer)

    async def progress(self, seconds: float, total: float, message: str) -> None:
        await self._ctx.report_progress(seconds, total, f"{message} ({seconds:.0f} of {total:.0f} s)")


def question(ask: AskFirst) -> InputRequiredResult:
    """The answer to a request that needs the person's decision first (protocol 2026-07-28)."""
    schema = Approval.schema_of(ask.dialogue)
    params = ElicitRequestFormParams(message=ask.dialogue.message, requested_schema=schema)
    return InputRequiredResult(
        input_requests={QUESTION: ElicitRequest(params=params)},
        request_state=_STATE.dump_json(ask.question).decode(),  # the SDK seals it against forgery
    )


def _unsealed(state: str) -> Question | None:
    """The question whose state came with a repeated request; None if the state is of another kind."""
    try:
        return _STATE.validate_json(state)
    except ValidationError:
        return None


def _decision(answer: ElicitResult) -> Decision:
    """What the person decided.

    Raises:
        ElicitationError: the form does not have the type that its schema names, so that nobody knows what they meant.
    """
    if answer.action != "accept":
        return answer.action
    try:
        return "approve" if Approval.model_validate(answer.content or {}).approve else "decline"
    except ValidationError as error:
        given = (answer.content or {}).get("approve")
        what = "nothing" if given is None else f"{type(given).__name__} {one_line(repr(given))}"
        raise ElicitationError(
            f"The client sent its form back with `approve` as {what}, which must be the boolean true or false: its "
            "answer counts for nothing"
        ) from error
