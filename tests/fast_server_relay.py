"""Has a server started by the template process of `fast_server.py`, on the standard files of this process.

Imports little: each server of the tests starts this program once.
"""

import json
import os
import signal
import socket
import sys


def relay(address: str, pid_file: str, speed: float) -> None:
    """Ends when the server has ended. Passes SIGTERM on to the server."""
    request = {"folder": os.getcwd(), "environment": dict(os.environ), "pid_file": pid_file, "speed": speed}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        nothing = os.open(os.devnull, os.O_RDWR)
        for own in (0, 1):  # the client is to see that the server closes its ends of the pipes
            os.dup2(nothing, own)
        pid = int(connection.recv(32))

        def pass_on(number: int, _: object) -> None:
            os.kill(pid, number)

        signal.signal(signal.SIGTERM, pass_on)
        connection.recv(1)


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], float(sys.argv[3]))
