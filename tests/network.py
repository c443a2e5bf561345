"""A network on this machine: a piv.day that speaks TLS, and proxies in front of it that lead every name to it."""

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import trustme

ACCOUNT = b'{"success": true, "data": {"user_id": "u", "balance": 150.50}}'
HOST = "api.example"
"""Of the piv.day that only a proxy can reach."""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def trust(folder: Path) -> Path:
    """A file with the certificate authority, for SSL_CERT_FILE."""
    file = folder / "authority.pem"
    authority().cert_pem.write_to_path(str(file))
    return file


@asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """The port of a server that answers with `handler` until the end of the block."""
    running: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def server_tls(*names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority().issue_cert(*(names or (HOST, "localhost", "127.0.0.1")))
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType] - of another TLS library, too
    return context


async def answer_account(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ACCOUNT) + ACCOUNT)
        await writer.drain()


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def say_rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"220 mail.example ESMTP\r\n\r\n" * 3)
    await writer.drain()


@dataclass
class ProxyServer:
    """An HTTP or SOCKS5 proxy that connects to one port, whatever it is asked for."""

    to: int
    login: tuple[str, str] | None = None
    refuses: bytes = b""
    asked: list[str] = field(default_factory=list[str])

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split(" ")[1])
        wanted = "" if self.login is None else base64.b64encode(":".join(self.login).encode()).decode()
        if self.refuses or wanted not in head:
            writer.write(b"HTTP/1.1 %s\r\n\r\n" % (self.refuses or b"407 say please"))
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await self._carry(reader, writer)

    async def socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly((await reader.readexactly(2))[1])
        writer.write(b"\x05\x02" if self.login else b"\x05\x00")
        if self.login:
            user = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\x01\x00" if (user.decode(), password.decode()) == self.login else b"\x01\x01")
        assert (await reader.readexactly(4))[3] == 3, "a name, which the proxy looks up"
        name = await reader.readexactly((await reader.readexactly(1))[0])
        self.asked.append(f"{name.decode()}:{int.from_bytes(await reader.readexactly(2))}")
        writer.write(b"\x05" + (self.refuses or b"\x00") + b"\x00\x01\x7f\x00\x00\x01\x00\x00")
        await self._carry(reader, writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
            target.close()

        try:
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        finally:
            far_writer.close()


@asynccontextmanager
async def proxied(kind: str = "http", login: tuple[str, str] | None = None) -> AsyncGenerator[tuple[ProxyServer, int]]:
    """A proxy of this kind in front of a piv.day, and its port."""
    async with listening(answer_account, server_tls()) as piv:
        proxy = ProxyServer(piv, login)
        handler, tls = proxy.socks if kind == "socks" else proxy.http, server_tls() if kind == "https" else None
        async with listening(handler, tls) as port:
            yield proxy, port
