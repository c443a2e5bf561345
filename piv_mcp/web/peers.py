"""Finds out which user's program is at the other end of a connection on this machine. Only Linux tells."""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Sequence

Endpoint = tuple[str, int]
"""An IPv4 address and a port."""

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")

LOOKS = 3
"""How often a table is read: a row can be missed while the kernel changes the table."""


def uid_of_client(client: Endpoint, server: Endpoint, tables: Sequence[str] = TABLES) -> int | None:
    """The user id that owns the client's socket of a connection; None where the system does not tell."""
    rows = {_row(client, server, mapped=mapped) for mapped in (False, True)}
    for _ in range(LOOKS):
        for table in tables:
            if (uid := _uid_in(table, rows)) is not None:
                return uid
    return None


def own_uid() -> int | None:
    """The user id of this process; None on Windows."""
    return None if sys.platform == "win32" else os.geteuid()


async def can_tell(port: int) -> bool:
    """Whether the owner of a connection to this loopback port is told here, found out with a connection of our own."""
    if own_uid() is None:
        return False
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        client, server = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        return await asyncio.to_thread(uid_of_client, client, server) == own_uid()
    finally:
        writer.close()


def _uid_in(table: str, wanted: set[tuple[str, str]]) -> int | None:
    try:
        with open(table, encoding="ascii", errors="replace") as lines:
            for line in lines:
                fields = line.split()
                # Without an inode the socket has no owner any more, and its user id is 0.
                if len(fields) > 9 and (fields[1], fields[2]) in wanted and fields[9] != "0":
                    return int(fields[7])
    except (OSError, ValueError):
        pass
    return None


def _row(local: Endpoint, remote: Endpoint, *, mapped: bool) -> tuple[str, str]:
    return _address(local, mapped=mapped), _address(remote, mapped=mapped)


def _address(endpoint: Endpoint, *, mapped: bool) -> str:
    """As the tables write it: 32-bit words in the byte order of the machine. `mapped`: as an IPv6 address."""
    host, port = endpoint
    raw = socket.inet_aton(host)
    if mapped:
        raw = bytes(10) + b"\xff\xff" + raw
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"
