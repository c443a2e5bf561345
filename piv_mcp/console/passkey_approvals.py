"""Approvals by passkey: each is a signature for one entry, which is checked in the transaction that decides it."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from piv_mcp.console.approvals import FROZEN_CLICK
from piv_mcp.console.entrance import HostedEntrance, OperatorGuest
from piv_mcp.console.forms import fields_of
from piv_mcp.console.passkeys import (
    MAX_FORM_BYTES,
    TIMEOUT_SECONDS,
    PasskeyError,
    RelyingParty,
    as_bytes,
    as_text,
    assertion_of,
    counted,
)
from piv_mcp.services import Services
from piv_mcp.spending.errors import FrozenError
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.proof import Assertion, Proof, challenge
from piv_mcp.store import Connection, ceremonies, journal, operators
from piv_mcp.store.ceremonies import Ceremony
from piv_mcp.store.journal import Entry
from piv_mcp.store.sessions import ConsoleSession
from piv_mcp.text.times import Clock
from piv_mcp.web.guards import is_same_origin, plain_text

NONCE_BYTES = 32

_log = structlog.get_logger(__name__)


class PasskeyApprovals:
    """The handlers of what belongs to an entry on the page of approvals. `services` gives those of an account; `party`
    is the console's site, and `clock` the clock of the store."""

    def __init__(
        self,
        entrance: HostedEntrance,
        services: Callable[[int], Awaitable[Services]],
        party: RelyingParty,
        clock: Clock,
    ) -> None:
        self._entrance = entrance
        self._services = services
        self._party = party
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route("/approvals/{entry_id}/options", self.options, methods=["POST"]),
            Route("/approvals/{entry_id}/passkey", self.approve, methods=["POST"]),
        ]

    async def options(self, request: Request) -> Response:
        """What the browser needs to ask for the signature: the nonce, and what a passkey is to sign."""
        guest = await self._guest(request)
        if isinstance(guest, Response):
            return guest
        entries = await self._journal(guest)
        try:
            asked = await entries.store.write(self._ask, request.path_params["entry_id"], guest.session)
        except PasskeyError:
            return plain_text(401, "Sign in first.")
        if asked is None:
            return plain_text(409, "This does not wait for a decision any more.")
        return JSONResponse(asked, headers={"Cache-Control": "no-store"})

    async def approve(self, request: Request) -> Response:
        """Approve an entry by what the passkey has answered."""
        guest = await self._guest(request)
        if isinstance(guest, Response):
            return guest
        entry_id, fields = request.path_params["entry_id"], await fields_of(request, MAX_FORM_BYTES)
        entries, app = await self._journal(guest), await self._services(guest.session.account)
        click: str | None = None
        try:
            assertion = assertion_of(fields.get("answer", ""))

            def prove(connection: Connection, entry: Entry) -> Proof:
                return self._proof(connection, entry, guest.session, fields.get("nonce", ""), assertion)

            first = await entries.decide(entry_id, "approve", by="passkey", prove=prove)
            click = None if first else "approve"
            _log.info("decided with a passkey", entry_id=entry_id, operator=guest.name, first=first)
        except PasskeyError as error:
            click = error.refusal
            _log.warning("an approval was refused", entry_id=entry_id, operator=guest.name, problem=click)
        except FrozenError:
            click = FROZEN_CLICK
        app.inbox.changes.notify()
        query = f"?{urlencode({'entry': entry_id, 'click': click})}" if click else ""
        return RedirectResponse(f"/approvals{query}#{entry_id}", 303, headers={"Cache-Control": "no-store"})

    def _ask(self, connection: Connection, entry_id: str, session: ConsoleSession) -> dict[str, Any] | None:
        """Begin the approval of an entry; None if it does not wait for a decision.

        Raises:
            PasskeyError: the operator was revoked.
        """
        nonce, now = secrets.token_bytes(NONCE_BYTES), self._clock.time()
        entry = journal.get(connection, entry_id)
        if entry is None or entry.state != "quoted" or entry.expires_at <= now:
            return None
        _refuse_revoked(connection, session)
        digest, ends_at = ceremonies.digest(as_text(nonce)), min(entry.expires_at, now + TIMEOUT_SECONDS)
        ceremony = Ceremony(digest, "approval", ends_at, session.operator, session.cookie, entry_id)
        ceremonies.begin(connection, ceremony, now)
        known = [passkey for passkey in operators.passkeys(connection, session.operator) if passkey.revoked_at is None]
        return {"nonce": as_text(nonce), "options": self._party.assertion(challenge(nonce, entry), known)}

    def _proof(
        self, connection: Connection, entry: Entry, session: ConsoleSession, nonce: str, assertion: Assertion
    ) -> Proof:
        """The proof that the operator approves the entry, for which the nonce is used up.

        Raises:
            PasskeyError: they do not.
        """
        now = self._clock.time()
        ceremony = ceremonies.use(connection, ceremonies.digest(nonce), "approval", now)
        _refuse_revoked(connection, session)
        if ceremony is None or ceremony.session != session.cookie:
            raise PasskeyError("nonce")
        if ceremony.entry != entry.id:
            raise PasskeyError("entry")
        passkey = operators.passkey_of(connection, assertion.passkey)
        if passkey is None or passkey.operator != session.operator or passkey.revoked_at is not None:
            raise PasskeyError("unknown")
        count = self._party.check(assertion, challenge(as_bytes(nonce), entry), passkey)
        counted(passkey, count)
        if not operators.note_use(connection, passkey, count, now):
            raise PasskeyError("cloned")
        return Proof(operator=session.operator, origin=self._party.origin, nonce=nonce, assertion=assertion)

    async def _guest(self, request: Request) -> OperatorGuest | Response:
        if not is_same_origin(request):
            _log.warning("a request of another page was refused", origin=request.headers.get("origin"))
            return plain_text(403, "This request does not come from a page of piv-mcp.")
        return await self._entrance.guest(request)

    async def _journal(self, guest: OperatorGuest) -> Journal:
        app = await self._services(guest.session.account)
        return Journal(app.store.everything, app.clock)


def _refuse_revoked(connection: Connection, session: ConsoleSession) -> None:
    """
    Raises:
        PasskeyError: the operator of the session was revoked.
    """
    if operators.active(connection, session.operator) is None:
        raise PasskeyError("revoked")
