"""The tool that exists only in the sandbox."""

from typing import Annotated

from pydantic import Field

from piv_mcp.errors import InvalidRequestError
from piv_mcp.services import services
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.tools.answers import Answer
from piv_mcp.tools.follow_up import follow_up, here
from piv_mcp.tools.parameters import Line, PivNumId, Text, limited
from piv_mcp.tools.spec import Ctx, write


class Arrived(Answer):
    piv_num_id: str
    message_id: str
    webhook_sent: bool
    follow_up: FollowUp | None = None


async def simulate_incoming_sms(
    ctx: Ctx,
    number: PivNumId,
    text: Annotated[Text, limited(1600), Field(description="What the message says.")],
    sender: Annotated[Line, limited(20), Field(description="Name or number that it comes from.")] = "Google",
) -> Arrived:
    """Sandbox only: make an SMS arrive on a number, to try the inbox tools."""
    app = await services(ctx)
    if app.sandbox is None:
        raise InvalidRequestError("this server is not connected to its own sandbox", code="VALIDATION_ERROR")
    piv_num_id = await app.phonebook.resolve(number)
    before = await here(app)
    try:
        message_id = await app.sandbox.receive_sms(piv_num_id, text, sender=sender)
    except ValueError as error:
        raise InvalidRequestError(f"number: {error}", code="VALIDATION_ERROR") from None
    return Arrived(
        piv_num_id=piv_num_id,
        message_id=message_id,
        webhook_sent=app.sandbox.webhook_url is not None,
        follow_up=await follow_up(app, FollowUp(tool="wait_for_code", arguments={"number": piv_num_id}), before),
    )


TOOLS = (write(simulate_incoming_sms, "Simulate an SMS", destructive=False, idempotent=False, local=True),)
