"""Signing in to the console of a server with a passkey, and making one with the link of `piv-mcp operators add`.

Opening a link uses nothing up: programs that show previews of links open them, too.
"""

import re
import secrets
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from piv_mcp.console.forms import fields_of
from piv_mcp.console.passkeys import (
    MAX_FORM_BYTES,
    TIMEOUT_SECONDS,
    PasskeyError,
    RelyingParty,
    as_bytes,
    as_text,
    assertion_of,
    challenge_in,
    counted,
)
from piv_mcp.console.refusals import refusal_text
from piv_mcp.console.rendering import bare_page
from piv_mcp.console.sessions import Sessions
from piv_mcp.store import Connection, Store, ceremonies, operators
from piv_mcp.store.ceremonies import Ceremony
from piv_mcp.store.operators import Passkey
from piv_mcp.text.language import Code, Language, preferred
from piv_mcp.text.times import Clock
from piv_mcp.web.guards import is_same_origin, plain_text
from piv_mcp.web.tries import Tries

CHALLENGE_BYTES = 32

_PATH = re.compile(r"/[a-z]+(?:/\w+)?")

_log = structlog.get_logger(__name__)


class SignIn:
    """The pages for those who are not signed in. `store` is read for nobody's account; `clock` is its clock."""

    def __init__(
        self, store: Store, sessions: Sessions, party: RelyingParty, clock: Clock, chosen: Code | None = None
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._party = party
        self._clock = clock
        self._chosen: Code | None = chosen
        self._tries = Tries(clock)

    def routes(self) -> list[Route]:
        return [
            Route("/sign-in", self.show, methods=["GET"]),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route("/sign-in/options", self.options, methods=["POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/enrol/{secret}", self.show_link, methods=["GET"]),
            Route("/enrol/{secret}", self.enrol, methods=["POST"]),
            Route("/enrol/{secret}/options", self.enrolment_options, methods=["POST"]),
        ]

    # --- signing in

    async def show(self, request: Request) -> Response:
        if await self._sessions.of(request) is not None:
            return _to(_path_in(request))
        return self._sign_in_page(request)

    async def options(self, request: Request) -> Response:
        """What a browser needs to ask for a passkey."""
        if (refused := self._refusal(request)) is not None:
            return refused
        challenge, now = secrets.token_bytes(CHALLENGE_BYTES), self._clock.time()
        ceremony = Ceremony(ceremonies.digest(as_text(challenge)), "sign-in", now + TIMEOUT_SECONDS)
        await self._store.write(ceremonies.begin, ceremony, now)
        return _options(self._party.assertion(challenge))

    async def sign_in(self, request: Request) -> Response:
        if (refused := self._refusal(request)) is not None:
            return refused
        answer = (await fields_of(request, MAX_FORM_BYTES)).get("answer", "")
        try:
            cookie = await self._store.write(self._signed_in, answer)
        except PasskeyError as error:
            _log.warning("a sign-in to the console was refused", problem=error.refusal)
            return self._sign_in_page(request, refusal_text(error.refusal, self._language(request)), 403)
        response = _to(_path_in(request))
        self._sessions.give(response, cookie)
        return response

    def _signed_in(self, connection: Connection, answer: str) -> str:
        """The cookie of a new session.

        Raises:
            PasskeyError: the answer does not count.
        """
        assertion, challenge, now = assertion_of(answer), challenge_in(answer), self._clock.time()
        if ceremonies.use(connection, ceremonies.digest(challenge), "sign-in", now) is None:
            raise PasskeyError("nonce")
        passkey = operators.passkey_of(connection, assertion.passkey)
        if passkey is None:
            raise PasskeyError("unknown")
        operator = operators.active(connection, passkey.operator)
        if operator is None or passkey.revoked_at is not None:
            raise PasskeyError("revoked")
        if assertion.handle not in (None, operator.handle):
            raise PasskeyError("unknown")
        count = self._party.check(assertion, as_bytes(challenge), passkey)
        counted(passkey, count)
        if not operators.note_use(connection, passkey, count, now):
            raise PasskeyError("cloned")
        return self._sessions.begin(connection, operator.name)

    async def sign_out(self, request: Request) -> Response:
        if not is_same_origin(request):
            return self._foreign(request)
        session = await self._sessions.of(request)
        if session is not None:
            await self._sessions.end(session)
        response = _to("/sign-in")
        self._sessions.take(response)
        return response

    # --- the link

    async def show_link(self, request: Request) -> Response:
        link = await self._store.read(self._link, request)
        if link is None:
            return self._tried(request) or self._no_link(request)
        return self._enrolment_page(request, link)

    async def enrolment_options(self, request: Request) -> Response:
        """What a browser needs to make a passkey."""
        if (refused := self._refusal(request)) is not None:
            return refused
        challenge, now = secrets.token_bytes(CHALLENGE_BYTES), self._clock.time()

        def begin(connection: Connection) -> dict[str, Any] | None:
            link = self._link(connection, request)
            operator = operators.active(connection, link.operator) if link is not None else None
            if link is None or operator is None:
                return None
            ceremonies.begin(
                connection,
                Ceremony(
                    ceremonies.digest(as_text(challenge)),
                    "registration",
                    now + TIMEOUT_SECONDS,
                    operator.name,
                    link.nonce,
                ),
                now,
            )
            known = operators.passkeys(connection, operator.name)
            return self._party.registration(operator, known, challenge)

        options = await self._store.write(begin)
        return self._no_link(request) if options is None else _options(options)

    async def enrol(self, request: Request) -> Response:
        if (refused := self._refusal(request)) is not None:
            return refused
        link = await self._store.read(self._link, request)
        if link is None:
            return self._no_link(request)
        answer = (await fields_of(request, MAX_FORM_BYTES)).get("answer", "")
        try:
            cookie = await self._store.write(self._enrolled, link, answer)
        except PasskeyError as error:
            _log.warning("a passkey was not enrolled", operator=link.operator, problem=error.refusal)
            return self._enrolment_page(request, link, refusal_text(error.refusal, self._language(request)), 403)
        _log.info("a passkey was enrolled", operator=link.operator)
        response = _to("/")
        self._sessions.give(response, cookie)
        return response

    def _link(self, connection: Connection, request: Request) -> Ceremony | None:
        """What the link of the request has begun; None if it is good no more."""
        digest = ceremonies.digest(request.path_params["secret"])
        return ceremonies.open_(connection, digest, "enrolment", self._clock.time())

    def _enrolled(self, connection: Connection, link: Ceremony, answer: str) -> str:
        """Use the link up for a passkey. Returns the cookie of a new session.

        Raises:
            PasskeyError: the answer does not count.
        """
        challenge, now = challenge_in(answer), self._clock.time()
        registration = ceremonies.use(connection, ceremonies.digest(challenge), "registration", now)
        if registration is None or registration.session != link.nonce:
            raise PasskeyError("nonce")
        operator = operators.active(connection, link.operator)
        if operator is None:
            raise PasskeyError("revoked")
        made = self._party.registered(answer, as_bytes(challenge))
        passkey = Passkey(made.id, operator.name, operator.account, made.public_key, made.sign_count, now)
        is_first_use = ceremonies.use(connection, link.nonce, "enrolment", now) is not None
        if not is_first_use or not operators.add_passkey(connection, passkey):
            raise PasskeyError("nonce")
        return self._sessions.begin(connection, operator.name)

    # --- answers

    def _sign_in_page(self, request: Request, problem: str | None = None, status: int = 200) -> Response:
        return bare_page(
            self._language(request), "sign_in.html", http_status=status, problem=problem, to=_path_in(request)
        )

    def _enrolment_page(
        self, request: Request, link: Ceremony, problem: str | None = None, status: int = 200
    ) -> Response:
        return bare_page(
            self._language(request),
            "enrolment.html",
            http_status=status,
            name=link.operator,
            path=request.url.path,
            problem=problem,
        )

    def _no_link(self, request: Request) -> Response:
        return bare_page(self._language(request), "no_link.html", http_status=404)

    def _refusal(self, request: Request) -> Response | None:
        """The refusal of a try that another page makes, or that is one too many."""
        return self._foreign(request) if not is_same_origin(request) else self._tried(request)

    def _foreign(self, request: Request) -> Response:
        _log.warning("a request of another page was refused", origin=request.headers.get("origin"))
        return plain_text(403, self._language(request).gettext("This request does not come from a page of piv-mcp."))

    def _tried(self, request: Request) -> Response | None:
        if not self._tries.are_too_many(request):
            return None
        return plain_text(429, self._language(request).gettext("Too many tries: wait a minute."))

    def _language(self, request: Request) -> Language:
        return preferred(request.headers.get("accept-language", ""), self._chosen)


def _options(options: dict[str, Any]) -> Response:
    return JSONResponse({"options": options}, headers={"Cache-Control": "no-store"})


def _path_in(request: Request) -> str:
    """Where the person wanted to go."""
    path = request.query_params.get("to", "")
    return path if _PATH.fullmatch(path) else "/"


def _to(path: str) -> Response:
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})
