"""The account: its balance and e-mail address."""

from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, data


def get_account(state: State, call: RouteCall) -> RouteAnswer:
    return data(
        {
            "user_id": state.user_id,
            "balance": state.ledger.balance,
            "email": state.email,
            "team_id": None,
            "is_team_member": False,
        }
    )
