"""One look of a person at a page: who looks, at what account, in which language."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from piv_mcp.console.kept import Kept
from piv_mcp.services import Services
from piv_mcp.text.language import Language
from piv_mcp.web.visitors import Shown

NOT_OF_THE_PAGE = frozenset({"page", "seen", "entry", "click"})
"""Parameters of an address that say nothing about what the page shows."""


class Guest(Protocol):
    """Who looks. One object for all requests of the same stay, as long as this process knows of it."""

    @property
    def path(self) -> str:
        """What the paths of the guest's pages begin with, without a final slash: empty on a server."""
        ...

    @property
    def name(self) -> str | None:
        """The operator's name; None on a laptop, where one person has all for themselves."""
        ...

    @property
    def decides_by(self) -> Literal["click", "passkey"]:
        """What approves an action: a click, or an assertion of a passkey."""
        ...

    @property
    def shown(self) -> Shown:
        """What the guest was shown of approvals. It may be lost: then only outcomes are no longer shown."""
        ...


class HealthFinding(Protocol):
    """The result of one check of the installation. `do` is the advice to the person."""

    @property
    def what(self) -> str: ...

    @property
    def ok(self) -> bool: ...

    @property
    def state(self) -> str: ...

    @property
    def do(self) -> str | None: ...


Examine = Callable[[], Awaitable[Sequence[HealthFinding]]]
"""What `piv-mcp doctor` does."""


class Entrance(Protocol):
    """Tells who sends a request."""

    @property
    def is_closing(self) -> bool:
        """Whether the pages are served no more: those that are open are told."""
        ...

    async def guest(self, request: Request) -> Guest | Response:
        """The guest, or the refusal of the request. It is also asked while a page is open, again and again."""
        ...


@dataclass(frozen=True, slots=True)
class Tab:
    """A page in the navigation. `count`: how much waits there, 0 where that is not told."""

    name: str
    title: str
    path: str
    count: int
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonLook:
    """A look at the page `name`. `app` are the services of the guest's account. `examine` checks the
    installation, where that can be done. `tabs` is empty where there is one page alone. `seen` is the digest of what
    the page shows; None if it does not follow changes."""

    request: Request
    guest: Guest
    app: Services
    language: Language
    kept: Kept
    name: str
    examine: Examine | None = None
    tabs: Sequence[Tab] = ()
    seen: str | None = None

    def path(self, name: str) -> str:
        """The path of a page or of what belongs to it, such as `spending/sp_1`."""
        return f"{self.guest.path}/{name}"

    @property
    def live(self) -> str:
        """The address that tells of changes of this very page."""
        query = [item for item in self.request.query_params.multi_items() if item[0] not in NOT_OF_THE_PAGE]
        return f"{self.path('live')}?{urlencode([('page', self.name), *query])}"
