"""The conformance suite's scenarios for servers, as far as they do not ask for what its own example server has."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from checks import check, equal, report, settings

SUITE = Path(os.environ["WALL_NODE_MODULES"]) / "@modelcontextprotocol/conformance/dist/index.js"

APPLIES = (
    "server-initialize",
    "ping",
    "completion-complete",
    "tools-list",
    "resources-list",
    "prompts-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
)

TOOL = "calls a tool of the suite's example server"
RESOURCE = "reads a resource of the suite's example server"
PROMPT = "gets a prompt of the suite's example server"
DOES_NOT_APPLY = {
    "logging-set-level": "the server sends no log messages to clients, and does not declare logging",
    "tools-call-simple-text": TOOL,
    "tools-call-image": TOOL,
    "tools-call-audio": TOOL,
    "tools-call-embedded-resource": TOOL,
    "tools-call-mixed-content": TOOL,
    "tools-call-with-logging": TOOL,
    "tools-call-error": TOOL,
    "tools-call-with-progress": TOOL,
    "tools-call-sampling": TOOL,
    "tools-call-elicitation": TOOL,
    "json-schema-2020-12": TOOL,
    "elicitation-sep1034-defaults": TOOL,
    "elicitation-sep1330-enums": TOOL,
    "server-sse-polling": TOOL,
    "resources-subscribe": "subscribes to a resource of the suite's example server, which ours refuses",
    "resources-unsubscribe": "likewise",
    "resources-read-text": RESOURCE,
    "resources-read-binary": RESOURCE,
    "resources-templates-read": RESOURCE,
    "prompts-get-simple": PROMPT,
    "prompts-get-with-args": PROMPT,
    "prompts-get-embedded-resource": PROMPT,
    "prompts-get-with-image": PROMPT,
}
"""Scenario, and why it says nothing of this server."""


def suite(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [os.environ["WALL_NODE"], str(SUITE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def scenarios() -> set[str]:
    """Those for servers that the suite has."""
    listed = suite("list").stdout.partition("Client scenarios")[0]
    return set(re.findall(r"^ +- ([\w-]+) \[", listed, re.MULTILINE))


def run(scenario: str, url: str) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ["WALL_HOME"]) as results:
        done = suite("server", "--url", url, "--scenario", scenario, "--output-dir", results)
        output = done.stdout + done.stderr
        equal(f"{scenario}: exit status", (done.returncode, output if done.returncode else ""), (0, ""))
        found = [item for path in Path(results).rglob("checks.json") for item in json.loads(path.read_text("utf-8"))]
    check(f"{scenario}: was run", found, output)
    for item in found:
        check(f"{scenario}: {item['id']}", item["status"] in ("SUCCESS", "INFO"), item)


def main() -> None:
    found = scenarios()
    equal("scenarios in both lists", set(APPLIES) & DOES_NOT_APPLY.keys(), set[str]())
    equal("scenarios of the suite", found, {*APPLIES, *DOES_NOT_APPLY})
    command = [os.environ["WALL_PYTHON"], str(Path(__file__).parent / "http_server.py")]
    with subprocess.Popen(command, env=settings(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            for scenario in APPLIES:
                run(scenario, url)
        finally:
            server.terminate()
    report()


if __name__ == "__main__":
    main()
