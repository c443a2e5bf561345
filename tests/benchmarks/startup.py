"""How long a client waits for the tools after starting a server, and how much a model then has to read.

    python tests/benchmarks/startup.py [--openapi PATH] [--fastmcp-python PATH] [--runs N]

Side by side, in turns: piv-mcp, a server of the same SDK without any tool, and a server that FastMCP generates from
an OpenAPI description of the same API (`--openapi`; needs `pip install fastmcp` in the interpreter of
`--fastmcp-python`). Each is started over stdio like by a client, from process start to the answer of `tools/list`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANDSHAKE = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
]

EMPTY = "from mcp.server import MCPServer; MCPServer('empty').run()"

GENERATED = """
import json, sys
try:
    import httpx2 as httpx
except ImportError:  # before version 4
    import httpx
from fastmcp import FastMCP
with open(sys.argv[1], encoding="utf-8") as file:
    description = json.load(file)
client = httpx.AsyncClient(base_url="http://127.0.0.1:9")
FastMCP.from_openapi(openapi_spec=description, client=client, name="generated").run(show_banner=False)
"""


@dataclass
class Server:
    name: str
    command: Sequence[str]
    seconds: list[float] = field(default_factory=list[float])
    tools: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def start(server: Server, environment: Mapping[str, str]) -> None:
    """One start: notes how long the answer took, and what it was."""
    messages = b"".join(json.dumps(message).encode() + b"\n" for message in HANDSHAKE)
    began = time.perf_counter()
    process = subprocess.Popen(
        server.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(environment)
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(messages)
        process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            if answer.get("id") == 2:
                server.seconds.append(time.perf_counter() - began)
                server.tools = answer["result"]["tools"]
                return
        raise SystemExit(f"{server.name} ended without an answer")
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


def seen(tool: Mapping[str, Any]) -> int:
    """Characters of what a model reads of a tool."""
    shown = {key: tool[key] for key in ("name", "description", "inputSchema") if key in tool}
    return len(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))


def endpoint_tools(server: Server) -> list[Mapping[str, Any]]:
    """One for each endpoint; of a generated server, all."""
    marked = [tool for tool in server.tools if "piv.day/endpoint" in tool.get("_meta", {})]
    return marked or server.tools


def has_fastmcp(python: str) -> bool:
    return subprocess.run([python, "-c", "import fastmcp"], capture_output=True, check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--openapi", type=Path, help="OpenAPI description that FastMCP generates a server from")
    parser.add_argument("--fastmcp-python", default=sys.executable, help="interpreter that has fastmcp")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()

    ours = Server("piv-mcp", [sys.executable, "-m", "piv_mcp"])
    empty = Server("empty MCPServer", [sys.executable, "-c", EMPTY])
    servers = [ours, empty]
    peer = None
    if options.openapi is None:
        print("no generated server: say with --openapi what to generate it from\n")
    elif not has_fastmcp(options.fastmcp_python):
        print(f"no generated server: {options.fastmcp_python} has no fastmcp (pip install fastmcp)\n")
    else:
        peer = Server("FastMCP, generated", [options.fastmcp_python, "-c", GENERATED, str(options.openapi)])
        servers.append(peer)

    with tempfile.TemporaryDirectory() as directory:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIV_", "FASTMCP_"))}
        environment = {**kept, "PIV_API_KEY": "benchmark-key", "PIV_DATA_DIR": directory, "PIV_WEBHOOK_PORT": "0"}
        for server in servers:  # compiles what has to be compiled
            start(server, environment)
            server.seconds.clear()
        for _ in range(options.runs):
            for server in servers:
                start(server, environment)

    print(f"From start to the answer of tools/list, over stdio ({options.runs} runs each, in turns)\n")
    print(f"{'':20}{'median':>10}{'least':>10}{'x empty':>10}")
    for server in servers:
        ratio = server.median / empty.median
        print(f"{server.name:20}{server.median:>8.3f} s{min(server.seconds):>8.3f} s{ratio:>10.2f}")

    print("\nWhat a model sees of the tools: name, description and input schema, in characters of JSON\n")
    print(f"{'':20}{'tools':>10}{'all':>10}{'endpoints':>12}{'each':>10}")
    for server in (item for item in servers if item.tools):
        own = endpoint_tools(server)
        size = sum(map(seen, own))
        everything = sum(map(seen, server.tools))
        print(f"{server.name:20}{len(server.tools):>10}{everything:>10}{len(own):>12}{size / len(own):>10.0f}")

    print(f"\nstart: {ours.median / empty.median:.2f} x the empty server (target: at most 1.3)")
    if peer is not None:
        each = [sum(map(seen, endpoint_tools(server))) / len(endpoint_tools(server)) for server in (ours, peer)]
        print(f"start: {ours.median / peer.median:.2f} x the generated server (target: below 1)")
        print(f"size of an endpoint's tool: {each[0] / each[1]:.2f} x the generated server's (target: below 1)")


if __name__ == "__main__":
    main()
