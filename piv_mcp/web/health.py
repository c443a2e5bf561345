"""The answer to `GET /health`: who holds the webhook port."""

import hashlib
import hmac
from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """The body of the response."""

    name: Literal["piv-mcp"] = "piv-mcp"
    version: str
    proof: str
    """See `proof_of`; empty while the store cannot be read."""


def proof_of(secret: str, store_id: str, port: int, nonce: str) -> str:
    """A response to `nonce` that only a piv-mcp with this webhook secret and this store can give, and for its own port
    alone: relayed by the holder of another port it proves nothing.

    The store's id is random and never leaves the machine. So a response tells nobody anything of the secret, however
    short that is.
    """
    message = f"health:{port}:{nonce}".encode("utf-8", "replace")
    return hmac.new(f"{store_id}:{secret}".encode(), message, hashlib.sha256).hexdigest()
