"""Why an answer of a passkey does not count, in words for the person who gave it."""

from collections.abc import Mapping
from typing import Literal, get_args

from piv_mcp.text.language import Language

Refusal = Literal[
    "malformed", "nonce", "entry", "challenge", "origin", "unverified", "unknown", "signature", "cloned", "revoked"
]
"""Why an answer of a passkey does not count: it cannot be read; its nonce was used, has ended, or is another browser's;
it is to a question about another entry; to another question, or the entry has changed; it was given to another site;
the person was not verified; the passkey is not the operator's; the signature is wrong; the passkey has a copy, since
its counter went back; the operator was revoked."""

REFUSALS: Mapping[str, Refusal] = {refusal: refusal for refusal in get_args(Refusal)}


def refusal_text(refusal: Refusal, language: Language) -> str:
    """What happened, and what to do."""
    match refusal:
        case "malformed":
            return language.gettext("The answer of your browser could not be read. Try again.")
        case "nonce":
            return language.gettext("This was tried before, or took too long. Try again.")
        case "entry":
            return language.gettext("Your passkey has signed another approval than this one. Try again.")
        case "challenge":
            return language.gettext(
                "Your passkey has not signed what stands here: it may have changed in the meantime. Look at it again."
            )
        case "origin":
            return language.gettext(
                "Your passkey was asked by another address than this one. Close that page, and tell who runs this "
                "server."
            )
        case "unverified":
            return language.gettext(
                "Your passkey has not checked that it is you. Unlock it by fingerprint, face or PIN, and try again."
            )
        case "unknown":
            return language.gettext(
                "This passkey is not known here, or not yours. Use the one that you made for this page."
            )
        case "signature":
            return language.gettext("The signature of the passkey is wrong.")
        case "cloned":
            return language.gettext(
                "This passkey was used elsewhere in the meantime, so there may be a copy of it. It is refused: tell "
                "who runs this server."
            )
        case "revoked":
            return language.gettext("Your access to this server was ended.")
