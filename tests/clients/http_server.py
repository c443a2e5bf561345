"""Serves over Streamable HTTP on loopback, for the conformance suite. It runs in the checkout's own environment.

Over HTTP piv-mcp lets nobody in without a token, which the suite does not send: this is the SDK's own application, and
for tests.
"""

import socket

import uvicorn

from piv_mcp.config import load
from piv_mcp.server import build_server


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    application = build_server(load()).streamable_http_app()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    uvicorn.Server(uvicorn.Config(application, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
