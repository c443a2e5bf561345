"""The sandbox: one piv.day account, its API, its clock, its webhooks, and what tests may do to them."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from types import EllipsisType

import httpx
from starlette.types import ASGIApp

from piv_mcp.sandbox import sms
from piv_mcp.sandbox.app import sandbox_app
from piv_mcp.sandbox.clock import Clock, Timing
from piv_mcp.sandbox.failures import Failure, Failures, Outcome
from piv_mcp.sandbox.ledger import Charge
from piv_mcp.sandbox.numbers import MONTH, add_number
from piv_mcp.sandbox.records import Number
from piv_mcp.sandbox.seed import seed_account
from piv_mcp.sandbox.service import Incoming, Recorded, Service
from piv_mcp.sandbox.state import State
from piv_mcp.sandbox.transport import SandboxTransport
from piv_mcp.sandbox.webhooks import Delivery, Event, Webhooks


class Sandbox:
    """A faithful piv.day.

    Whatever has `fail` in its name, URL or text fails: a domain, a white, an SMS, a verification, and the
    restore of a number so named. `NL` has no numbers in stock, `US` numbers cannot send, domains that start
    with `taken` are taken.

    Args:
        api_key: the one key that is accepted.
        webhook_url: where events go; None for nowhere.
        rate_limit: requests per rolling minute; 0 for any number.
        balance: in dollars.
        seed: begin with a small, believable account instead of an empty one.
        auto_tick: let background work progress by itself. Without, it progresses when a request arrives or
            the clock is advanced.
        timing: how long background work and webhook retries take.
        webhook_transport: how webhooks are sent, if not over the network.
    """

    def __init__(
        self,
        api_key: str = "sandbox-key",
        *,
        webhook_url: str | None = None,
        rate_limit: int = 100,
        balance: Decimal = Decimal("150.50"),
        seed: bool = True,
        auto_tick: bool = True,
        timing: Timing | None = None,
        webhook_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.api_key = api_key
        self.timing = timing or Timing()
        self.app: ASGIApp = sandbox_app(self)
        self._first_url = webhook_url
        self._first_balance = balance
        self._rate_limit = rate_limit
        self._seed = seed
        self._auto_tick = auto_tick
        self._webhook_transport = webhook_transport
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self._clock = Clock()
        self._failures = Failures()
        self._webhooks = Webhooks(self._clock, self.timing, self._failures, self._webhook_transport)
        self._webhooks.url = self._first_url
        self.state = State(self._clock, self.timing, self._webhooks.emit, self._first_balance)
        self._service = Service(self.state, self._failures, self.api_key, self._rate_limit)
        if self._seed:
            seed_account(self.state)

    # the API

    def transport(self) -> httpx.AsyncBaseTransport:
        """For `httpx.AsyncClient(transport=...)`, with any host and the path `/api/v1`."""
        return SandboxTransport(self)

    def answer(self, incoming: Incoming) -> Outcome:
        self._touch()
        outcome = self._service.answer(incoming)
        self._touch()
        return outcome

    # what tests look at

    @property
    def requests(self) -> list[Recorded]:
        return self._service.requests

    @property
    def charges(self) -> list[Charge]:
        return self.state.ledger.charges

    @property
    def events(self) -> list[Event]:
        """All that happened, whether or not it was delivered."""
        return self._webhooks.events

    @property
    def deliveries(self) -> list[Delivery]:
        return self._webhooks.deliveries

    @property
    def now(self) -> datetime:
        return self._clock.now()

    def summary(self) -> dict[str, object]:
        """Balance, counts and charges, for `GET /_sandbox/state`."""
        self._touch()
        state = self.state
        owned = {"numbers": state.numbers, "orders": state.orders, "domains": state.domains}
        return {
            "now": self.now,
            "balance": state.ledger.balance,
            "counts": {name: len(items) for name, items in {**owned, "whites": state.whites}.items()},
            "charges": [vars(charge) for charge in self.charges],
            "events": [event.event_type for event in self.events],
            "deliveries": [
                {
                    "event_type": delivery.event.event_type,
                    "attempt": delivery.attempt,
                    "status": delivery.status,
                    "error": delivery.error,
                }
                for delivery in self.deliveries
            ],
        }

    # what tests do

    @property
    def balance(self) -> Decimal:
        return self.state.ledger.balance

    @balance.setter
    def balance(self, amount: Decimal) -> None:
        self.state.ledger.balance = amount

    @property
    def webhook_url(self) -> str | None:
        return self._webhooks.url

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        self._webhooks.url = url

    def fail_next(self, failure: Failure) -> None:
        self._failures.add(failure)

    def clear_failures(self) -> None:
        self._failures.clear()

    def advance(self, by: timedelta) -> None:
        """Move the clock; what falls due on the way happens in order, each thing at its own time."""
        self._touch()
        self._clock.advance(by)
        self._touch()

    def add_numbers(self, count: int, country: str = "SE", expires_in: timedelta = MONTH) -> list[str]:
        """Active numbers out of nowhere, for lists of any length; their ids."""
        expires_at = self.now + expires_in
        added = [add_number(self.state, self.state.countries[country], expires_at) for _ in range(count)]
        return [number.piv_num_id for number in added]

    async def receive_sms(
        self,
        number: str,
        text: str,
        sender: str = "Google",
        code: str | EllipsisType | None = ...,
        *,
        trusted: bool = True,
        deliver: bool = True,
        received_at: datetime | None = None,
    ) -> str:
        """Let an SMS arrive at `number` (a `piv_num_id` or a phone number); its message id.

        It goes into the history. A trusted sender's is also sent as `sms.received`, unless `deliver` is
        false (the webhook is lost); the first attempt at that has been made on return. `code` is found in the
        text unless given. Raises ValueError if the number is unknown or not active.
        """
        self._touch()
        receiver = self._active_number(number)
        found = sms.find_code(text) if isinstance(code, EllipsisType) else code
        message, data = sms.receive(self.state, receiver, text, sender, found, received_at or self.now)
        if trusted and deliver:
            await self.send_event("sms.received", data)
        return str(message.id)

    async def send_event(self, event_type: str, data: Mapping[str, object]) -> None:
        """Deliver a webhook; returns once the first attempt has been made (retries go on)."""
        event = self._webhooks.emit(event_type, data)
        self._touch()
        await event.tried.wait()

    async def settled(self) -> None:
        """Wait until no webhook is being delivered."""
        self._touch()
        await self._webhooks.settled()

    async def reset(self) -> None:
        """Begin anew, as constructed."""
        await self.aclose()
        self._begin()

    async def aclose(self) -> None:
        """Stop timers and deliveries."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._webhooks.aclose()

    def _active_number(self, wanted: str) -> Number:
        for number in self.state.numbers.values():
            if wanted in (number.piv_num_id, number.phone_number):
                if number.status(self.now) != "active":
                    raise ValueError(f"number {wanted} is {number.status(self.now)} and receives nothing")
                return number
        raise ValueError(f"there is no number {wanted}")

    def _touch(self) -> None:
        """Let happen what is due; see to it that what comes next happens, too."""
        self.state.agenda.catch_up()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._webhooks.start()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = self.state.agenda.seconds_to_next()
        if self._auto_tick and seconds is not None:
            # At least once an hour: event loops do not take arbitrarily long timers.
            self._timer = loop.call_later(min(seconds, 3600.0), self._touch)
