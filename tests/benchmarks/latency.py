"""How long after its webhook a code is with the assistant that waits for it.

    python tests/benchmarks/latency.py [--rounds N]

A real server over stdio and a sandbox on its own port. In each round a client waits with `wait_for_code`, then the
webhook is posted as piv.day posts it; measured is the time from that to the client's answer.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import Any

import httpx
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.serve import serve

SECRET = "benchmark-secret-0123456789"
BEFORE = 0.05
"""Seconds that the client has been waiting when the webhook comes."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def event(piv_num_id: str, code: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    text = f"Your verification code is {code}"
    data = {"piv_num_id": piv_num_id, "text": text, "code": code, "country": "SE", "received_at": now}
    return {"event_type": "sms.received", "timestamp": now, "data": data}


def answer_of(result: CallToolResult) -> dict[str, Any]:
    content: dict[str, Any] | None = result.structured_content
    if result.is_error or content is None:
        raise SystemExit(f"the call failed: {result.content}")
    return content


async def one_round(
    client: Client, post: httpx.AsyncClient, url: str, piv_num_id: str, code: str, after: str
) -> tuple[float, str]:
    """Seconds from the webhook to the answer, and the cursor for the next round."""
    arguments = {"number": piv_num_id, "timeout_seconds": 20, "after": after}
    waiting = asyncio.create_task(client.call_tool("wait_for_code", arguments))
    await asyncio.sleep(BEFORE)
    began = time.perf_counter()
    sent = asyncio.create_task(post.post(url, json=event(piv_num_id, code)))
    answer = answer_of(await waiting)
    seconds = time.perf_counter() - began
    (await sent).raise_for_status()
    if answer["status"] != "ok" or answer["newest"]["code"] != code:
        raise SystemExit(f"expected {code}, got {json.dumps(answer)}")
    return seconds, answer["after"]


async def measure(rounds: int) -> list[float]:
    sandbox = Sandbox(rate_limit=0)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(sandbox, ready=ready.set_result))
    port = free_port()
    url = f"http://127.0.0.1:{port}/webhooks/{SECRET}"
    piv_num_id = next(iter(sandbox.state.numbers))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIV_")}
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            "PIV_API_KEY": sandbox.api_key,
            "PIV_BASE_URL": f"http://127.0.0.1:{await ready}/api/v1",
            "PIV_DATA_DIR": directory,
            "PIV_WEBHOOK_PORT": str(port),
            "PIV_WEBHOOK_SECRET": SECRET,
            "PIV_LOG_LEVEL": "ERROR",
        }
        server = StdioServerParameters(command=sys.executable, args=["-m", "piv_mcp"], env={**kept, **settings})
        async with Client(server) as client, httpx.AsyncClient() as post:
            after = answer_of(await client.call_tool("get_latest_code", {}))["after"]
            for number in range(rounds + 1):
                took, after = await one_round(client, post, url, piv_num_id, f"{100_000 + number}", after)
                if number:  # the first one opens the connection
                    seconds.append(took)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    seconds = sorted(asyncio.run(measure(parser.parse_args().rounds)))
    late = seconds[int(len(seconds) * 0.95) - 1]
    print(f"From a webhook to the answer of a waiting wait_for_code, over stdio ({len(seconds)} rounds)\n")
    print(f"least {seconds[0] * 1000:.1f} ms, median {statistics.median(seconds) * 1000:.1f} ms (target: below 50)")
    print(f"95 % within {late * 1000:.1f} ms, most {seconds[-1] * 1000:.1f} ms")


if __name__ == "__main__":
    main()
