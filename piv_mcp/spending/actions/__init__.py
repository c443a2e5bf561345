"""All actions that pass the gate, by the name of their tool."""

from collections.abc import Mapping

from piv_mcp.spending.actions import domains, numbers, proxies, restore, whites
from piv_mcp.spending.actions.base import Action

ACTIONS: Mapping[str, type[Action]] = {
    action.kind: action for area in (numbers, restore, proxies, domains, whites) for action in area.ACTIONS
}


def load(kind: str, arguments: str) -> Action:
    """The action of a journal entry, from its kind and its arguments as JSON."""
    return ACTIONS[kind].model_validate_json(arguments)
