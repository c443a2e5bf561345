"""Who holds the webhook port: the answer to `GET /health`, and how another process asks for it."""

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ValidationError

from piv_mcp.text.times import SYSTEM_CLOCK, Clock

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only looked up
"""Addresses that are for listening alone, and those at which their listener is asked."""

Holder = Literal["ours", "another account's", "other", "silent", "closing", "nobody"]
"""Who holds a port: a piv-mcp with our store that accepts our webhook secret; one with our store that does not; another
program, or a piv-mcp with another store; somebody who accepts connections, or not even these, and does not answer;
somebody who closes them; nobody."""


_TOO_SLOW = b"HTTP/1.1 408 "
"""The answer of a listener without room for one more connection."""


class Health(BaseModel):
    """The body of the response."""

    name: Literal["piv-mcp"] = "piv-mcp"
    version: str
    proof: str
    """See `proof_of`; empty while the store cannot be read."""

    accepts: list[str] = []
    """Such a proof for each webhook secret that is accepted."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the holder of our port knows: the store's id, and the digest of our webhook secret."""

    store_id: str
    secret: str


def proof_of(store_id: str, port: int, nonce: str, secret: str = "") -> str:
    """A response to `nonce` that only a piv-mcp with this store can give, and for its own port alone: relayed by the
    holder of another port it proves nothing. With `secret`, the digest of a webhook secret, it is about that one.

    The store's id is random and never leaves the machine. So a response tells nobody anything of the secret, however
    short that is.
    """
    message = f"health:{port}:{nonce}:{secret}".encode("utf-8", "replace")
    return hmac.new(store_id.encode(), message, hashlib.sha256).hexdigest()


async def holder_of(
    host: str, port: int, expected: Expected | None, seconds: float, clock: Clock = SYSTEM_CLOCK
) -> Holder:
    """Who holds the port. `expected` is None if our own store cannot be read. Whoever has not answered after so many
    seconds is silent.

    Only a random number is sent to the holder, and only hashes come back.
    """
    nonce = secrets.token_hex(16)
    try:
        async with clock.timeout(seconds):
            answer = await _get(WILDCARDS.get(host, host), port, f"/health?nonce={nonce}")
    except TimeoutError:
        return "silent"
    except ConnectionRefusedError:
        return "nobody"
    except ConnectionError:
        return "closing"
    except (OSError, UnicodeError):
        return "nobody"
    if not answer or answer.startswith(_TOO_SLOW):
        return "closing"
    try:
        health = Health.model_validate_json(answer.partition(b"\r\n\r\n")[2])
    except ValidationError:
        return "other"
    if expected is None or not _equal(health.proof, proof_of(expected.store_id, port, nonce)):
        return "other"
    wanted = proof_of(expected.store_id, port, nonce, expected.secret)
    return "ours" if any(_equal(proof, wanted) for proof in health.accepts) else "another account's"


async def _get(host: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = bytearray()
        while len(answer) < MAX_ANSWER and (part := await reader.read(MAX_ANSWER)):
            answer += part
        return bytes(answer)
    finally:
        writer.close()


def _equal(proof: str, expected: str) -> bool:
    return hmac.compare_digest(proof.encode("utf-8", "surrogatepass"), expected.encode())
