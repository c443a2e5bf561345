"""An entry of the journal as its owner reads it, and whether the approval of it verifies."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import click

from piv_mcp.cli.stored_accounts import accounts_of
from piv_mcp.config import Settings
from piv_mcp.spending.approval.channels import lines
from piv_mcp.spending.messages import dollars
from piv_mcp.spending.proof import Assertion, Proof, challenge, proof_of
from piv_mcp.spending.quote import quote_of
from piv_mcp.spending.receipt import decision, outcome
from piv_mcp.store import Connection, operators
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import open_store
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line, visible

Rows = list[tuple[str, str]]

PROBLEMS: Mapping[str, str] = {
    "challenge": "the entry is not the one that was approved: the entry or the proof was changed since",
    "origin": "it was given to another address",
    "unverified": "the passkey has not verified its person",
    "signature": "the signature is not one of the stored passkey",
}
"""Why an assertion does not verify, by the refusal. It cannot be read, where this says nothing."""


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """`is_sound`: what the entry says about its approval verifies, as far as there is something to verify."""

    rows: Rows
    is_sound: bool


async def shown(settings: Settings, entry_id: str) -> ShownEntry:
    """
    Raises:
        click.ClickException: there is no such entry.
        StoreError: the store cannot be read.
    """
    for account in await accounts_of(partial(open_store, settings, open_directory(settings))):
        async with account.journal() as found:
            entry = await found.get(entry_id)
            if entry is not None:
                return await found.store.read(_shown, entry, account.name)
    raise click.ClickException(f"there is no entry {one_line(entry_id, 40)!r}")


def _shown(connection: Connection, entry: Entry, account: str) -> ShownEntry:
    quote = quote_of(entry)
    proof_rows, is_sound = _proof(connection, entry)
    rows = [
        ("Entry", entry.id),
        *([("Account", account)] if account else []),
        *lines(quote),
        ("Asked", _moment(entry.quoted_at)),
        ("Valid until", _moment(entry.expires_at)),
        *([("Decision", f"{decision(entry)}, {_moment(entry.decided_at)}")] if entry.decided_at is not None else []),
        *proof_rows,
        *([("Sent", _moment(entry.sent_at))] if entry.sent_at is not None else []),
        ("State", outcome(entry, quote) + (f", {_moment(entry.settled_at)}" if entry.settled_at is not None else "")),
        *([("Charged", dollars(entry.charged))] if entry.charged is not None else []),
        *([("Problem", visible(entry.problem))] if entry.problem else []),
        *([("Evidence", visible(entry.evidence))] if entry.evidence else []),
    ]
    return ShownEntry([(label, one_line(value, len(value))) for label, value in rows], is_sound)


def _proof(connection: Connection, entry: Entry) -> tuple[Rows, bool]:
    """Who decided on the console, and whether that verifies."""
    by_passkey = entry.decided_by == "passkey"
    try:
        proof = proof_of(entry)
    except ValueError:
        return [("Proof", "DOES NOT VERIFY: it cannot be read")], False
    if proof is None:
        missing: Rows = [("Proof", "DOES NOT VERIFY: there is none, and a passkey leaves one")]
        return (missing, False) if by_passkey else ([], True)
    rows: Rows = [("Decided by", f"operator {visible(proof.operator)}")]
    if proof.assertion is None:
        if entry.state == "declined" and not by_passkey:  # being signed in is enough for that alone
            return rows, True
        return [*rows, ("Proof", "DOES NOT VERIFY: the passkey's assertion is missing")], False
    problem = _problem(connection, entry, proof, proof.assertion)
    if problem is None and (entry.state == "declined" or not by_passkey):
        problem = "the passkey has signed an approval, and the entry tells of another decision"
    if problem is not None:
        return [*rows, ("Proof", f"DOES NOT VERIFY: {problem}")], False
    passkey = operators.passkey_of(connection, proof.assertion.passkey)
    since = f" (revoked {_moment(passkey.revoked_at)})" if passkey is not None and passkey.revoked_at else ""
    rows.append(("Passkey", f"{proof.assertion.passkey[:8]}{since}, at {visible(proof.origin or '')}"))
    return [*rows, ("Proof", "verifies: the passkey has signed this entry as it stands")], True


def _problem(connection: Connection, entry: Entry, proof: Proof, assertion: Assertion) -> str | None:
    """Why the assertion does not verify; None if it does."""
    try:
        from piv_mcp.console.passkeys import PasskeyError, RelyingParty, as_bytes  # late: of the extra `server`
    except ImportError:
        return "this cannot be told without the packages of piv-mcp[server]"
    passkey = operators.passkey_of(connection, assertion.passkey)
    if passkey is None:
        return "the passkey is not in the store"
    if passkey.operator != proof.operator:
        return f"the passkey is that of operator {visible(passkey.operator)}"
    if passkey.account != connection.account:
        return "the passkey is that of another account"
    if passkey.revoked_at is not None and (entry.decided_at or 0.0) > passkey.revoked_at:
        return f"the passkey was revoked before, {_moment(passkey.revoked_at)}"
    try:
        RelyingParty(proof.origin or "").check(assertion, challenge(as_bytes(proof.nonce), entry), passkey)
    except PasskeyError as error:
        return PROBLEMS.get(error.refusal, "it cannot be read")
    except ValueError:  # an origin that is no address
        return PROBLEMS["origin"]
    if entry.decided_at is None or entry.decided_at > entry.expires_at:
        return "the entry was decided at no time, or at one at which it had expired"
    return None


def _moment(seconds: float) -> str:
    return f"{utc(seconds):%Y-%m-%d %H:%M:%S} UTC"
