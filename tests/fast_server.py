"""Servers that start in a tenth of a second: processes that are forked from one that has the modules loaded.

`python -m piv_mcp` spends more than a second of processor time on its imports. Tests that need many servers pay for
the imports once: a template process imports everything, then forks a child for each server. The child is a process of
its own, with its own standard input, output and error, environment, working directory, threads, locks and signals. It
runs the very function of the command line, with a clock that can run faster.

A client starts a server by a command, so `command` is a small program (`fast_server_relay.py`) that hands its three
standard files to the template process, and ends when the server ends. POSIX only.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import socket
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

RELAY = Path(__file__).with_name("fast_server_relay.py")

LOADED_LATER = (
    "anyio._backends._asyncio",
    "certifi",
    "httpcore",
    "moving_clock",
    "rich.logging",
    "stamina",
    "uvicorn.lifespan.off",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
"""What a server imports at the first use, and never by name at the top of a module."""

MAX_REQUEST_BYTES = 1024 * 1024


def command(pid_file: Path, *, speed: float = 1.0) -> list[str]:
    """The command line of a server whose clock runs `speed` times as fast; the server writes its id to `pid_file`."""
    return [sys.executable, "-I", "-S", str(RELAY), _template(), str(pid_file), str(speed)]


@cache
def _template() -> str:
    """The address of the template process, which ends when this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="piv-mcp-tests-")
    address = f"{folder.name}/template"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    process = subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno())],
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
    )
    listener.close()

    def end() -> None:
        process.communicate()
        folder.cleanup()

    atexit.register(end)
    return address


# The template process


def serve_requests(listener: socket.socket) -> None:
    """Fork a server for each connection, until the standard input ends with the process of the tests."""
    load_modules()
    gc.freeze()  # a garbage collection in a child copies no page of what is loaded
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        reap()
        if sys.stdin in readable:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            run_server(connection)
        connection.close()


def reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def load_modules() -> None:
    import piv_mcp

    for module in pkgutil.walk_packages(piv_mcp.__path__, "piv_mcp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LOADED_LATER:
        importlib.import_module(name)


def run_server(connection: socket.socket) -> NoReturn:
    """In the child: serve as `python -m piv_mcp` does. The open connection tells the relay that the server runs."""
    try:
        message, files, _, _ = socket.recv_fds(connection, MAX_REQUEST_BYTES, 3)
        for own, received in enumerate(files):
            os.dup2(received, own)
            os.close(received)
        request = json.loads(message)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        Path(request["pid_file"]).write_text(str(os.getpid()))
        connection.sendall(str(os.getpid()).encode())
        serve(request["speed"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def serve(speed: float) -> None:
    from moving_clock import MovingClock

    from piv_mcp.cli.main import serve_stdio
    from piv_mcp.config import load
    from piv_mcp.text.times import SYSTEM_CLOCK

    serve_stdio(load(), SYSTEM_CLOCK if speed == 1 else MovingClock(speed=speed))


if __name__ == "__main__":
    serve_requests(socket.socket(fileno=int(sys.argv[1])))
