"""The console of a server: the pages of every operator's account, behind a sign-in."""

from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Scope, Send

from piv_mcp.config import Settings
from piv_mcp.console.app import Console
from piv_mcp.console.entrance import HostedEntrance, OperatorGuest
from piv_mcp.console.look import Guest
from piv_mcp.console.passkey_approvals import PasskeyApprovals
from piv_mcp.console.passkeys import RelyingParty
from piv_mcp.console.sessions import Sessions
from piv_mcp.console.sign_in import SignIn
from piv_mcp.errors import PivError
from piv_mcp.services import Services
from piv_mcp.store import Store
from piv_mcp.text.times import Clock
from piv_mcp.web.guards import plain_text
from piv_mcp.web.listener import router
from piv_mcp.web.outside import AtAddress


class HostedConsole:
    """The console as an app, for the address PIV_CONSOLE_URL alone. `services` gives those of an account; `store` is
    read for nobody's account, and `clock` is its clock."""

    def __init__(
        self, settings: Settings, store: Store, services: Callable[[int], Awaitable[Services]], clock: Clock
    ) -> None:
        url = settings.console_url or ""
        party, sessions = RelyingParty(url), Sessions(store, url, clock)
        entrance = HostedEntrance(sessions)

        async def of_guest(guest: Guest) -> Services:
            if not isinstance(guest, OperatorGuest):
                raise TypeError("guests of a server are operators")
            return await services(guest.session.account)

        sign_in = SignIn(store, sessions, party, clock, settings.language)
        approvals = PasskeyApprovals(entrance, services, party, clock)
        console = Console(entrance, of_guest, settings.language, clock)
        self._app = AtAddress(router(*sign_in.routes(), *approvals.routes(), *console.routes()), url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def answer(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except PivError as error:  # the store is out of reach, or the account is not ready
            if has_begun:
                raise
            await plain_text(503, f"{error.message}.")(scope, receive, send)
