"""Receivers of notices on this machine: an HTTP server that takes JSON, and an SMTP server that takes mails."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy


@dataclass
class Hook:
    """Takes notices as Apprise's `json://` sends them. While `is_down` it answers 503, and `pause` seconds later. With
    `never_ends` its answer goes on and on, without a pause that a client would notice."""

    port: int = 0
    is_down: bool = False
    never_ends: bool = False
    pause: float = 0.0
    refused: int = 0
    notices: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Title and text of each."""

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/a-secret-path"

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.notices]

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length"))
        body = json.loads(await reader.readexactly(length))
        if self.is_down:
            self.refused += 1
        else:
            self.notices.append((body["title"], body["message"]))
        await asyncio.sleep(self.pause)
        if self.never_ends:
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while self.never_ends and not writer.is_closing():
            writer.write(b"-")
            await asyncio.sleep(0.1)
        status = "503 Service Unavailable" if self.is_down else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def hook() -> AsyncGenerator[Hook]:
    receiver = Hook()
    async with await asyncio.start_server(receiver.take, "127.0.0.1", 0) as server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver


@dataclass
class Mailbox:
    """An SMTP server that takes every mail, without TLS."""

    port: int = 0
    mails: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Subject and text of each."""

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/?from=piv@example.com&to=person@example.com&mode=insecure&format=text"

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say("220 mail.test")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            if word == "DATA":
                say("354 go on")
                raw = (await reader.readuntil(b"\r\n.\r\n"))[:-5]
                mail = message_from_bytes(raw, policy=policy.default)
                body = mail.get_body(("plain",))
                self.mails.append((str(mail["Subject"]), "" if body is None else str(body.get_content())))
            say("221 bye" if word == "QUIT" else "250 ok")
            if word == "QUIT":
                break
        writer.close()


@asynccontextmanager
async def mailbox() -> AsyncGenerator[Mailbox]:
    receiver = Mailbox()
    async with await asyncio.start_server(receiver.take, "127.0.0.1", 0) as server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver
