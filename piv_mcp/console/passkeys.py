"""Passkeys: what a browser is asked for, and whether what it answers was made by the passkey that we know.

The library `webauthn` checks signatures and what they are of. What a person can do something about is checked before,
so that each refusal says what it is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from piv_mcp.console.refusals import Refusal
from piv_mcp.errors import PivError
from piv_mcp.spending.proof import Assertion
from piv_mcp.store.operators import Operator, Passkey

TIMEOUT_SECONDS = 300.0
"""So long a person may take with their passkey."""

MAX_PASSKEY_ANSWER = 32_768
"""Characters of an answer. Usual ones have one or two thousand."""

MAX_FORM_BYTES = 3 * MAX_PASSKEY_ANSWER
"""Of a form with an answer, each character of which can take three bytes."""

USER_VERIFIED = 0x04
"""A bit of the authenticator's data."""


UNREADABLE = (WebAuthnException, ValueError, TypeError, LookupError, AttributeError)
"""What the library raises, also of what it takes for granted in an answer that anybody may have written."""


class PasskeyError(PivError):
    """An answer of a passkey does not count. `refusal` says why."""

    code = "PASSKEY_REFUSED"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"the answer of the passkey was refused: {refusal}")
        self.refusal: Refusal = refusal


@dataclass(frozen=True, slots=True)
class Registered:
    """A new passkey, as `Passkey` has it."""

    id: str
    public_key: str
    sign_count: int


class RelyingParty:
    """The site that passkeys are made for, and answer to. `origin` is its address, such as https://piv.example.com."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.id = urlsplit(origin).hostname or ""

    # --- what a browser is asked for

    def registration(self, operator: Operator, known: Sequence[Passkey], challenge: bytes) -> dict[str, Any]:
        """Make a passkey for the operator, on a device that has none of the `known` ones."""
        options = generate_registration_options(
            rp_id=self.id,
            rp_name="piv-mcp",
            user_id=base64url_to_bytes(operator.handle),
            user_name=operator.name,
            challenge=challenge,
            timeout=int(TIMEOUT_SECONDS * 1000),
            exclude_credentials=_descriptors(known),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
        )
        return json.loads(options_to_json(options))

    def assertion(self, challenge: bytes, allowed: Sequence[Passkey] = ()) -> dict[str, Any]:
        """Sign the challenge with one of the `allowed` passkeys; without them, with any that is for this site."""
        options = generate_authentication_options(
            rp_id=self.id,
            challenge=challenge,
            timeout=int(TIMEOUT_SECONDS * 1000),
            allow_credentials=_descriptors(allowed),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return json.loads(options_to_json(options))

    # --- what it answers

    def registered(self, answer: str, challenge: bytes) -> Registered:
        """The passkey that was made.

        Raises:
            PasskeyError: the answer does not count.
        """
        fields = _fields(answer)
        self._check_client_data(as_bytes(_response(fields).get("clientDataJSON")), challenge)
        try:
            made = verify_registration_response(
                credential=fields,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        except UNREADABLE as error:
            raise PasskeyError("unverified" if "User verification" in str(error) else "signature") from error
        return Registered(as_text(made.credential_id), as_text(made.credential_public_key), made.sign_count)

    def check(self, assertion: Assertion, challenge: bytes, passkey: Passkey) -> int:
        """The passkey's new counter, if it has signed the challenge for a person whom it has verified.

        Raises:
            PasskeyError: it has not.
        """
        self._check_client_data(as_bytes(assertion.client_data), challenge)
        authenticator_data = as_bytes(assertion.authenticator_data)
        if len(authenticator_data) > 32 and not authenticator_data[32] & USER_VERIFIED:
            raise PasskeyError("unverified")
        credential = {
            "id": assertion.passkey,
            "rawId": assertion.passkey,
            "type": "public-key",
            "response": {
                "clientDataJSON": assertion.client_data,
                "authenticatorData": assertion.authenticator_data,
                "signature": assertion.signature,
            },
        }
        try:
            verified = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origin,
                credential_public_key=base64url_to_bytes(passkey.public_key),
                credential_current_sign_count=0,  # looked at by `counted`
                require_user_verification=True,
            )
        except UNREADABLE as error:  # the stored key may be damaged
            raise PasskeyError("signature") from error
        return verified.new_sign_count

    def _check_client_data(self, client_data: bytes, challenge: bytes) -> None:
        said = _object(client_data)
        is_framed = said.get("crossOrigin") not in (None, False) or "topOrigin" in said
        if said.get("origin") != self.origin or is_framed:
            raise PasskeyError("origin")
        if said.get("challenge") != as_text(challenge):
            raise PasskeyError("challenge")


def counted(passkey: Passkey, sign_count: int) -> None:
    """
    Raises:
        PasskeyError: the passkey's counter has not gone on: there is a copy of it. One that never counts stays at 0.
    """
    if (sign_count or passkey.sign_count) and sign_count <= passkey.sign_count:
        raise PasskeyError("cloned")


def assertion_of(answer: str) -> Assertion:
    """What a browser answers to `RelyingParty.assertion`.

    Raises:
        PasskeyError: it cannot be read.
    """
    fields = _fields(answer)
    response = _response(fields)
    try:
        return Assertion(
            passkey=cast("str", fields.get("id")),
            client_data=cast("str", response.get("clientDataJSON")),
            authenticator_data=cast("str", response.get("authenticatorData")),
            signature=cast("str", response.get("signature")),
            handle=cast("str | None", response.get("userHandle")) or None,
        )
    except ValueError:
        raise PasskeyError("malformed") from None


def challenge_in(answer: str) -> str:
    """The challenge that an answer says it is to, in base64url.

    Raises:
        PasskeyError: it cannot be read.
    """
    challenge = _object(as_bytes(_response(_fields(answer)).get("clientDataJSON"))).get("challenge")
    if not isinstance(challenge, str):
        raise PasskeyError("malformed")
    return challenge


def _fields(answer: str) -> dict[str, Any]:
    if len(answer) > MAX_PASSKEY_ANSWER:
        raise PasskeyError("malformed")
    return _object(answer)


def _object(written: str | bytes) -> dict[str, Any]:
    """The object that is written in JSON.

    Raises:
        PasskeyError: there is none.
    """
    try:
        read = cast("object", json.loads(written))
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise PasskeyError("malformed")
    return cast("dict[str, Any]", read)


def _response(fields: Mapping[str, object]) -> dict[str, object]:
    response = fields.get("response")
    if not isinstance(response, dict):
        raise PasskeyError("malformed")
    return cast("dict[str, object]", response)


def as_text(content: bytes) -> str:
    """In base64url."""
    return bytes_to_base64url(content)


def as_bytes(text: object) -> bytes:
    """Of a text in base64url; nothing, if it is none."""
    try:
        return base64url_to_bytes(text) if isinstance(text, str) else b""
    except ValueError:
        return b""


def _descriptors(passkeys: Sequence[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(passkey.id)) for passkey in passkeys]
