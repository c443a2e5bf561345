"""The tool of the account."""

from piv_mcp.api.account import Account
from piv_mcp.services import services
from piv_mcp.tools.spec import Ctx, read


async def get_account(ctx: Ctx) -> Account:
    """Get the account's balance (money left, in US dollars) and its email: who is logged in. Also shows whether the API
    key works (is valid)."""
    return await (await services(ctx)).client.account.get()


TOOLS = (read(get_account, "Account and balance", "GET /account"),)
