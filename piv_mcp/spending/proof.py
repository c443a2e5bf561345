"""What a person states who approves with a passkey, and the proof of it that the journal keeps.

A passkey signs a challenge. Ours is the hash of a nonce and of all that was shown: so one signature approves one entry,
once, as it stood then. Whoever has the entry and the proof can check later that they belong together.
"""

import hashlib
import json
from contextlib import suppress
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from piv_mcp.store.journal import Entry

FORM = "piv-mcp approval 1"
"""Names what is hashed, and in which order. A change of either needs another name, and the old one stays readable."""

Base64 = Annotated[str, Field(pattern="^[A-Za-z0-9_-]*$")]
"""Base64url without padding. A text with anything else, such as half a character, might not go into the store."""


class Assertion(BaseModel):
    """What a passkey signs and says, in base64url. `passkey` is its id; `handle` is what it calls its person."""

    model_config = ConfigDict(frozen=True)

    passkey: Base64
    client_data: Base64
    authenticator_data: Base64
    signature: Base64
    handle: Base64 | None = None


class Proof(BaseModel):
    """Who decided on the console of a server. An approval has an assertion, made at `origin` for `nonce`; to decline,
    being signed in is enough."""

    model_config = ConfigDict(frozen=True)

    operator: str
    origin: str | None = None
    nonce: str | None = None
    assertion: Assertion | None = None


def digest(entry: Entry) -> bytes:
    """The SHA-256 of what an approval of the entry is for: the action with its arguments, the price and all else that
    is shown, who asked, and until when."""
    shown = [
        FORM,
        entry.id,
        entry.kind,
        entry.arguments,
        entry.price,
        entry.quote,
        entry.agent,
        repr(entry.quoted_at),
        repr(entry.expires_at),
    ]
    # Texts in quotes, with all that is not ASCII escaped: no two lists give the same text.
    return hashlib.sha256(json.dumps(shown, separators=(",", ":")).encode("ascii")).digest()


def challenge(nonce: bytes, entry: Entry) -> bytes:
    """What a passkey signs to approve the entry."""
    return hashlib.sha256(nonce + digest(entry)).digest()


def operator_of(entry: Entry) -> str | None:
    """The operator who decided; None if nobody did on the console of a server, or it cannot be read."""
    with suppress(ValueError):
        proof = proof_of(entry)
        return None if proof is None else proof.operator
    return None


def proof_of(entry: Entry) -> Proof | None:
    """Who decided on the console of a server, and how that can be checked; None if nobody did there.

    Raises:
        ValueError: the proof cannot be read.
    """
    return None if entry.proof is None else Proof.model_validate_json(entry.proof)
