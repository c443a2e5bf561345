"""Prints, as JSON, what every client of the wall is to do: each tool once, each resource, each prompt.

It runs in the checkout's own environment. What is asked for stands in tests/examples.py: a tool, a template or a prompt
without an example there fails here.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from examples import CONSTANTS, VALUES, domain, example, order
from mcp.types import Tool

from piv_mcp.config import load
from piv_mcp.sandbox import Sandbox
from piv_mcp.server import definitions, prompts
from piv_mcp.server.resources import RESOURCES
from piv_mcp.server.rights import Rights
from piv_mcp.spending.approval.channels import READ_SECONDS
from piv_mcp.text.times import PROGRESS_SECONDS

SAID = {"service": "Google", "days": "30", "address": "203.0.113.7", "about": "IT Consulting"}
"""Arguments that only prompts take."""


def reference(tool: str, *path: str) -> dict[str, object]:
    """A value that only the answer to an earlier call tells."""
    return {"answer_of": tool, "path": path}


def arguments(tool: Tool, sandbox: Sandbox) -> dict[str, Any]:
    """The example of a tool, so that every call of the list succeeds after those before it."""
    instead = {
        "get_domain_queue": {"queue_id": reference("register_domain", "result", "queue_id")},
        "restore_proxy_order": {"order_id": order(sandbox, "expired")},
        "set_nameservers": {"domain_id": domain(sandbox, cloudflare=False)},
    }
    return {**example(tool, sandbox), **instead.get(tool.name, {})}


def in_parts(tools: Sequence[Tool]) -> list[list[Tool]]:
    """What only reads, and what changes something, with what needs an answer of that: more than a minute's requests
    in all, so that each part has a server of its own."""
    changing = [tool for tool in tools if tool.annotations is not None and not tool.annotations.read_only_hint]
    late = [tool for tool in tools if tool.name == "get_domain_queue"]
    return [[tool for tool in tools if tool not in [*changing, *late]], [*changing, *late]]


def main() -> None:
    sandbox = Sandbox()  # every sandbox begins with the same account, that of the server too
    settings = load(sandbox=True)
    tools = definitions.load(Rights.of(settings))
    values = {name: value(sandbox) for name, value in {**CONSTANTS, **VALUES}.items()} | SAID
    for prompt in prompts.load():
        assert set(prompt.header.arguments) <= values.keys(), f"{prompt.name}: say in {__file__} what its arguments are"
    uris = {uri: re.sub(r"\{(\w+)\}", lambda found: values[found[1]], uri) for uri in RESOURCES}
    plan = {
        "tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools],
        "calls": [
            [{"name": tool.name, "arguments": arguments(tool, sandbox)} for tool in part] for part in in_parts(tools)
        ],
        "uris": uris,
        "prompts": {
            prompt.name: {name: str(values[name]) for name in prompt.header.arguments} for prompt in prompts.load()
        },
        "purchase": {
            "name": "purchase_number",
            "arguments": {name: values[name] for name in ("country_code", "duration_months", "auto_renew")},
        },
        "number": values["number"],
        "read_seconds": READ_SECONDS,
        "progress_seconds": PROGRESS_SECONDS,
    }
    json.dump(plan, sys.stdout, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
