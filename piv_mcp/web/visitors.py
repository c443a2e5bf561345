"""Who may see the person's pages: the browser that we opened, on the address that we gave it.

The command line of a browser shows the address to every user of the machine. So an invitation is good for one use, and
only for programs of our own user. What it leads to is a visit: a path, and a cookie that goes to no other path, since
browsers send a cookie to every port of a host. A second use of an invitation ends the visit: one of the two was not
the person's browser.
"""

import asyncio
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Literal

import structlog
from starlette.requests import Request
from starlette.responses import Response

from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web import peers
from piv_mcp.web.guards import plain_text, refused_unless_local

COOKIE = "piv-mcp"
"""The beginning of the name of a visit's cookie. Its id follows."""

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class Shown:
    """What somebody was shown of approvals."""

    ids: dict[str, None] = field(default_factory=dict[str, None])
    """The ids of the entries that were shown as waiting, in the order of the page."""

    digest: str = ""
    changed_at: float = 0.0
    """The digest of what was shown last, and when it changed (monotonic)."""

    waited_at: float = 0.0
    """When something was last seen waiting, in seconds since the epoch."""


@dataclass(eq=False, slots=True)
class Visit:
    """One browser's stay on the pages. `id` is a part of the path; `cookie` is the secret."""

    id: str
    cookie: str = field(repr=False)
    is_void: bool = False
    shown: Shown = field(default_factory=Shown)

    @property
    def name(self) -> None:
        """None: one person has all for themselves."""

    @property
    def decides_by(self) -> Literal["click"]:
        return "click"

    @property
    def path(self) -> str:
        return f"/console/{self.id}"

    @property
    def cookie_name(self) -> str:
        return f"{COOKIE}-{self.id}"


@dataclass(eq=False, slots=True)
class Invitation:
    """An address that leads one browser to the pages. `is_public`: it is no secret, since users can be told apart."""

    visit: Visit
    secret: str = field(repr=False)
    url: str = field(repr=False)
    is_public: bool
    is_used: bool = False

    @property
    def is_void(self) -> bool:
        return self.visit.is_void


class Visitors:
    """The invitations and visits of one listener. They end with it."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._since = clock.time()
        self._invitations: dict[str, Invitation] = {}
        self.can_tell_users = False
        """Whether the user of a connection can be told on this machine."""

        self.is_closing = False

    @property
    def needed_at(self) -> float:
        """When the pages were last looked at while something waited, in seconds since the epoch."""
        return max([self._since, *(invitation.visit.shown.waited_at for invitation in self._invitations.values())])

    def invite(self, origin: str) -> Invitation:
        visit = Visit(secrets.token_hex(8), secrets.token_urlsafe(32))
        secret = secrets.token_urlsafe(32)
        invitation = Invitation(visit, secret, f"{origin}{visit.path}/open/{secret}", self.can_tell_users)
        self._invitations[visit.id] = invitation
        return invitation

    def use(self, invitation: Invitation) -> bool:
        """Use an invitation. Returns false, and ends the visit, if it was used before."""
        if invitation.is_used:
            invitation.visit.is_void = True
            _log.warning(
                "the address of the person's page was opened a second time: the page is closed",
                do="decide in a terminal: piv-mcp approvals",
            )
            return False
        invitation.is_used = True
        return True

    def invitation(self, visit_id: str, secret: str) -> Invitation | None:
        """The invitation with this secret; None if there is none."""
        invitation = self._invitations.get(visit_id)
        return invitation if invitation is not None and _equal(invitation.secret, secret) else None

    def visit(self, visit_id: str, request: Request) -> Visit | None:
        """The visit that this browser pays; None if its cookie is missing or wrong."""
        invitation = self._invitations.get(visit_id)
        if invitation is None or not invitation.is_used:
            return None
        visit = invitation.visit
        return visit if _equal(visit.cookie, request.cookies.get(visit.cookie_name, "")) else None

    async def refusal(self, request: Request) -> Response | None:
        """The refusal of a request that does not come from a browser of our own user on this machine."""
        if (refused := refused_unless_local(request)) is not None:
            return refused
        client, server = request.scope.get("client"), request.scope.get("server")
        uid = None
        if client is not None and server is not None:
            uid = await asyncio.to_thread(peers.uid_of_client, tuple(client), tuple(server))
        if uid == peers.own_uid() and uid is not None:
            return None
        if uid is None and not self.can_tell_users:
            return None  # the address came from a file that only our own user can read
        if uid is not None:  # else the connection has ended already
            _log.warning("a request to the person's pages by another user was refused", uid=uid)
        return plain_text(
            403,
            "This page can be opened only by the user whose assistant asks. They can also decide in a "
            "terminal: piv-mcp approvals",
        )


def _equal(secret: str, given: str) -> bool:
    return hmac.compare_digest(secret.encode(), given.encode("utf-8", "surrogateescape"))
