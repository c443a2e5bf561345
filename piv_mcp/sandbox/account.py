"""The account."""

from piv_mcp.sandbox.state import Answer, Call, State, data


def get_account(state: State, call: Call) -> Answer:
    return data(
        {
            "user_id": state.user_id,
            "balance": state.ledger.balance,
            "email": state.email,
            "team_id": None,
            "is_team_member": False,
        }
    )
