"""MCP Inspector's command line, one process for each method, in both eras of the protocol."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, cast

from checks import SERVER, check, equal, plan, report, settings

CLI = Path(os.environ["WALL_NODE_MODULES"]) / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


def inspect(era: str, method: str, *options: str) -> dict[str, Any]:
    """The result of one method. The Inspector keeps its files in a directory of its own."""
    environment = settings()
    pairs = [f"-e{name}={value}" for name, value in environment.items() if name.startswith("PIV_")]
    command = [
        os.environ["WALL_NODE"],
        str(CLI),
        "--cli",
        SERVER,
        *pairs,
        "--protocol-era",
        era,
        "--connect-timeout",
        "45000",
    ]
    command += ["--format", "json", "--method", method, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    equal(f"{era}: {method} {options}: exit status", (done.returncode, done.stderr[-2000:]), (0, ""))
    try:
        return cast("dict[str, Any]", json.loads(done.stdout))["result"]
    except (ValueError, KeyError):
        check(f"{era}: {method}: a result", False, done.stdout[:2000])
        return {}


def names(result: dict[str, Any], kind: str) -> set[str]:
    return {item["uri" if kind == "resources" else "name"] for item in result.get(kind, [])}


def everything(era: str) -> None:
    listed = inspect(era, "tools/list", "--strict")  # exit status 6: a schema that some providers refuse
    equal(f"{era}: the tools", names(listed, "tools"), {tool["name"] for tool in plan()["tools"]})
    schemas = {tool["name"]: (tool["inputSchema"], tool["outputSchema"]) for tool in listed.get("tools", [])}
    for tool in plan()["tools"]:
        equal(
            f"{era}: schemas of {tool['name']}", schemas.get(tool["name"]), (tool["inputSchema"], tool["outputSchema"])
        )

    called = inspect(era, "tools/call", "--tool-name", "get_number", "--tool-arg", f"piv_num_id={plan()['number']}")
    equal(f"{era}: a call", called.get("structuredContent", {}).get("piv_num_id"), plan()["number"])
    limited = inspect(era, "tools/call", "--tool-name", "list_events", "--tool-arg", "limit=1")
    equal(f"{era}: a call with a number", len(limited.get("structuredContent", {}).get("events", [])), 1)
    whole = json.dumps({"number": plan()["number"], "timeout_seconds": 0})
    waited = inspect(era, "tools/call", "--tool-name", "wait_for_code", "--tool-args-json", whole)
    equal(f"{era}: a call with JSON", waited.get("structuredContent", {}).get("status"), "timeout")

    resources = names(inspect(era, "resources/list"), "resources")
    equal(f"{era}: the resources", resources, {uri for uri in plan()["uris"] if "{" not in uri})
    templates = inspect(era, "resources/templates/list").get("resourceTemplates", [])
    equal(f"{era}: the templates", {item["uriTemplate"] for item in templates}, plan()["uris"].keys() - resources)
    uri = plan()["uris"]["piv://numbers/{piv_num_id}/sms"]
    (content,) = inspect(era, "resources/read", "--uri", uri).get("contents", [{}])
    check(f"{era}: a resource", json.loads(content.get("text", "{}")), content)

    equal(f"{era}: the prompts", names(inspect(era, "prompts/list"), "prompts"), set(plan()["prompts"]))
    given = [f"{name}={value}" for name, value in plan()["prompts"]["sign_in_with_code"].items()]
    prompt = inspect(era, "prompts/get", "--prompt-name", "sign_in_with_code", "--prompt-args", *given)
    check(f"{era}: a prompt", "Google" in prompt.get("messages", [{}])[0].get("content", {}).get("text", ""), prompt)


if __name__ == "__main__":
    for each in ("legacy", "modern"):
        everything(each)
    report()
