"""What a read through the server costs beside the request itself, and beside what a generated server costs.

    python tests/benchmarks/read.py [--peer-python PYTHON --openapi FILE] [--batches N]

In turn, over the same sandbox on its own port: a bare httpx client, this server and the peer, both over stdio with the
same MCP client. Printed is what each server adds to the bare request. The peer is the server that FastMCP generates
from an OpenAPI description: `pip install fastmcp` in a virtual environment of its own, whose Python is given.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
from mcp import Client, StdioServerParameters

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.serve import serve

READS = 60
"""Measured reads of a batch: the server sends no more than its share of a minute, so each batch has a new account."""

WARM_UP = 5

TARGET = 0.8
"""At most so many times what the peer adds."""

PEER = """
import json, sys
from fastmcp import FastMCP
try:
    import httpx2 as httpx  # its newer versions
except ImportError:
    import httpx

with open(sys.argv[1], encoding="utf-8") as file:
    description = json.load(file)
client = httpx.AsyncClient(base_url=sys.argv[2], headers={"Authorization": f"Bearer {sys.argv[3]}"})
FastMCP.from_openapi(openapi_spec=description, client=client).run(transport="stdio", show_banner=False)
"""

Read = Callable[[], Awaitable[object]]


def reading(client: Client, tool: str) -> Read:
    """A call of the tool that reads the account."""

    async def read() -> None:
        result = await client.call_tool(tool, {})
        if result.is_error:
            raise SystemExit(f"{tool} failed: {result.content}")

    return read


async def batch(peer_python: str | None, openapi: str | None) -> dict[str, list[float]]:
    """Milliseconds of each read, by what read."""
    sandbox = Sandbox(rate_limit=0)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(sandbox, ready=ready.set_result))
    url = f"http://127.0.0.1:{await ready}/api/v1"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIV_")}
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        settings = {
            "PIV_API_KEY": sandbox.api_key,
            "PIV_BASE_URL": url,
            "PIV_DATA_DIR": directory,
            "PIV_WEBHOOK_PORT": "0",
            "PIV_LOG_LEVEL": "ERROR",
        }
        ours = StdioServerParameters(command=sys.executable, args=["-m", "piv_mcp"], env={**kept, **settings})
        bare = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {sandbox.api_key}"})
        )
        readers: dict[str, Read] = {
            "httpx": lambda: bare.get("/account"),
            "piv-mcp": reading(await stack.enter_async_context(Client(ours)), "get_account"),
        }
        if peer_python is not None and openapi is not None:
            arguments = ["-c", PEER, openapi, url, sandbox.api_key]
            peer = StdioServerParameters(command=peer_python, args=arguments, env=kept)
            readers["FastMCP"] = reading(await stack.enter_async_context(Client(peer)), "getAccount")
        took: dict[str, list[float]] = {name: [] for name in readers}
        for number in range(WARM_UP + READS):
            for name, read in readers.items():
                began = time.perf_counter()
                await read()
                if number >= WARM_UP:
                    took[name].append((time.perf_counter() - began) * 1000)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    return took


async def measure(batches: int, peer_python: str | None, openapi: str | None) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {}
    for _ in range(batches):
        for name, values in (await batch(peer_python, openapi)).items():
            took.setdefault(name, []).extend(values)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peer-python", help="the Python of a virtual environment with FastMCP")
    parser.add_argument("--openapi", help="the API's OpenAPI description, for the peer")
    parser.add_argument("--batches", type=int, default=3)
    arguments = parser.parse_args()
    took = asyncio.run(measure(arguments.batches, arguments.peer_python, arguments.openapi))
    medians = {name: statistics.median(values) for name, values in took.items()}
    added = {name: median - medians["httpx"] for name, median in medians.items() if name != "httpx"}
    print(f"A read of the account, median of {len(took['httpx'])}: bare httpx {medians['httpx']:.2f} ms\n")
    for name, more in added.items():
        print(f"{name:8} adds {more:.2f} ms")
    if "FastMCP" in added:
        ratio = added["piv-mcp"] / added["FastMCP"]
        print(f"\n{ratio:.2f} times the peer (target: at most {TARGET})")
        sys.exit(ratio > TARGET)


if __name__ == "__main__":
    main()
