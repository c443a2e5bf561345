"""What is answered in the place of a passkey by whoever is not a browser, and what a damaged store says of one."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from piv_mcp.config import load
from piv_mcp.console.hosted import HostedConsole
from piv_mcp.console.passkeys import PasskeyError, RelyingParty, as_text
from piv_mcp.services import Services
from piv_mcp.spending.proof import Assertion
from piv_mcp.store import Store
from piv_mcp.store.operators import Passkey
from piv_mcp.text.times import SYSTEM_CLOCK

URL = "https://piv.example.com"


async def nobodys(account: int) -> Services:
    raise AssertionError(f"nobody is signed in, and account {account} is asked for")


def client_data(**fields: Any) -> str:
    return as_text(json.dumps({"type": "webauthn.get", "origin": URL, **fields}).encode())


@pytest.mark.parametrize("change", [{"id": "\ud800"}, {"id": "é"}, {"deep": True}])
async def test_a_stranger_whose_answer_cannot_be_read_is_refused_in_words(store: Store, change: dict[str, Any]) -> None:
    app = HostedConsole(load(console_url=URL), store, nobodys, SYSTEM_CLOCK)
    asking = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=asking, base_url=URL, headers={"Origin": URL}) as http:
        challenge = (await http.post("/sign-in/options")).json()["options"]["challenge"]
        data = as_text(b"[" * 20_000) if change.pop("deep", False) else client_data(challenge=challenge)
        response = {"clientDataJSON": data, "authenticatorData": "AA", "signature": "AA"}
        answer = json.dumps({"id": "AA", "response": response, **change})
        refused = await http.post("/sign-in", data={"answer": answer})
    assert refused.status_code == 403
    assert "could not be read" in refused.text


@pytest.mark.parametrize("public_key", ["", "oA", "AQ", "owECAyYgAQ", "pQECAyYgASEBIgE", "é"])
def test_nothing_verifies_by_a_stored_passkey_that_is_damaged(public_key: str) -> None:
    challenge = b"c" * 32
    answer = Assertion(
        passkey="AA",
        client_data=client_data(challenge=as_text(challenge)),
        authenticator_data=as_text(hashlib.sha256(b"piv.example.com").digest() + b"\x05" + bytes(4)),
        signature="AA",
    )
    with pytest.raises(PasskeyError, match="signature"):
        RelyingParty(URL).check(answer, challenge, Passkey("AA", "anna", 1, public_key, 0, 0.0))


@pytest.mark.parametrize("said", [{"crossOrigin": True}, {"crossOrigin": "true"}, {"topOrigin": "https://example.org"}])
def test_what_was_signed_in_the_frame_of_another_page_is_refused(said: dict[str, Any]) -> None:
    challenge = b"c" * 32
    answer = Assertion(
        passkey="AA",
        client_data=client_data(challenge=as_text(challenge), **said),
        authenticator_data=as_text(hashlib.sha256(b"piv.example.com").digest() + b"\x05" + bytes(4)),
        signature="AA",
    )
    with pytest.raises(PasskeyError, match="origin"):
        RelyingParty(URL).check(answer, challenge, Passkey("AA", "anna", 1, "", 0, 0.0))


AUTHENTICATOR = hashlib.sha256(b"piv.example.com").digest() + b"\x45" + bytes(4 + 16) + b"\x00\x01A"
"""What stands before the public key: the site, that the person was verified, and a passkey with the id "A"."""

OKP = b"\xa4\x01\x01\x03\x27\x20\x06\x21Ax"
"""A public key that can be read."""

NONE = b"\xa3cfmtdnonegattStmt\xa0hauthDataX"
SAFETYNET = b"\xa3cfmtqandroid-safetynetgattStmt\xa2cveraxhresponseex.x.xhauthDataX"
"""Attestations up to the length of the authenticator's data; the second states something that is no bytes."""


@pytest.mark.parametrize(("attestation", "public_key"), [(NONE, b"aA"), (NONE, b"\x81\x01"), (SAFETYNET, OKP)])
def test_a_registration_with_what_no_passkey_says_is_refused(attestation: bytes, public_key: bytes) -> None:
    challenge, data = b"c" * 32, AUTHENTICATOR + public_key
    response = {
        "clientDataJSON": client_data(type="webauthn.create", challenge=as_text(challenge)),
        "attestationObject": as_text(attestation + bytes([len(data)]) + data),
    }
    answer = json.dumps({"id": "QQ", "rawId": "QQ", "type": "public-key", "response": response})
    with pytest.raises(PasskeyError, match="signature"):
        RelyingParty(URL).registered(answer, challenge)
