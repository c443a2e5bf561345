"""The account: reference section "Getting started"."""

from piv_mcp.api.endpoint import Endpoint
from piv_mcp.api.group import EndpointGroup
from piv_mcp.api.models import Model, Money


class Account(Model):
    user_id: str
    balance: Money | None = None
    email: str | None = None
    """Masked by the server."""
    team_id: str | None = None
    is_team_member: bool | None = None


GET = Endpoint("GET", "/account", Account)


class AccountApi(EndpointGroup):
    async def get(self) -> Account:
        """Balance and e-mail address of the account; also the cheapest way to check a key."""
        return await self._call(GET)
