"""The sandbox: one piv.day account with its API, clock and webhooks, and what tests can look at and change."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from types import EllipsisType

import httpx

from piv_mcp.sandbox import sms
from piv_mcp.sandbox.clock import SandboxClock, Timing
from piv_mcp.sandbox.failures import Failure, Failures, Outcome, Reply
from piv_mcp.sandbox.ledger import Charge
from piv_mcp.sandbox.numbers import MONTH, add_number
from piv_mcp.sandbox.records import SandboxNumber
from piv_mcp.sandbox.seed import seed_account
from piv_mcp.sandbox.service import Incoming, Recorded, Service
from piv_mcp.sandbox.state import State
from piv_mcp.sandbox.webhooks import Delivery, SandboxEvent, WebhookSender


class Sandbox:
    """A simulated piv.day.

    Domains, whites, SMS and verifications with `fail` in their name, text or URL fail, and so does the restore of a
    number with `fail` in its name. `NL` has no numbers in stock, `US` numbers cannot send, and domains that start with
    `taken` are not available.

    Args:
        api_key: the only key that is accepted.
        webhook_url: where webhooks are sent; None to send none.
        rate_limit: requests per rolling minute; 0 for no limit.
        balance: in dollars.
        seed: begin with some numbers, orders, domains and whites instead of an empty account.
        auto_tick: run background work when it is due; otherwise, when a request arrives or the clock is advanced.
        timing: how long background work and webhook retries take.
        webhook_transport: sends webhooks instead of the network.
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
        self._first_url = webhook_url
        self._first_balance = balance
        self._rate_limit = rate_limit
        self._seed = seed
        self._auto_tick = auto_tick
        self._webhook_transport = webhook_transport
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self._clock = SandboxClock()
        self.date_shift: timedelta | None = timedelta()
        """How far the `Date` of the answers is from the sandbox's time. None: they have no `Date`."""
        self._failures = Failures()
        self._webhooks = WebhookSender(self._clock, self.timing, self._failures, self._webhook_transport)
        self._webhooks.url = self._first_url
        self.state = State(self._clock, self.timing, self._webhooks.emit, self._first_balance, self.api_key)
        self._service = Service(self.state, self._failures, self.api_key, self._rate_limit)
        if self._seed:
            seed_account(self.state)

    def answer(self, incoming: Incoming) -> Outcome:
        """Do what an API request asks for. `SandboxTransport` and `sandbox_app` carry the outcome to the client."""
        self._touch()
        outcome = self._service.answer(incoming)
        self._touch()
        if isinstance(outcome, Reply) and self.date_shift is not None:
            return outcome.dated(self.now + self.date_shift)
        return outcome

    # what tests look at

    @property
    def requests(self) -> list[Recorded]:
        return self._service.requests

    @property
    def charges(self) -> list[Charge]:
        return self.state.ledger.charges

    @property
    def events(self) -> list[SandboxEvent]:
        """All events, delivered or not."""
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
        """Move the clock forward and run what is due, each action at its own time. Raises ValueError if `by` < 0."""
        self._touch()
        self._clock.advance(by)
        self._touch()

    def add_numbers(self, count: int, country: str = "SE", expires_in: timedelta = MONTH) -> list[str]:
        """Add active numbers without a charge. Returns their ids."""
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
        """Let an SMS arrive at `number` (a `piv_num_id` or a phone number). Returns its message id.

        The SMS is added to the history. If its sender is trusted, the webhook `sms.received` is sent, too, and its
        first attempt has ended on return. `deliver=False` means that the webhook is lost. `code` is the code in the
        webhook; if it is left out, it is looked for in the text.

        Raises ValueError if the number is unknown or not active.
        """
        self._touch()
        receiver = self._active_number(number)
        found = sms.find_code(text) if isinstance(code, EllipsisType) else code
        message, data = sms.receive(self.state, receiver, text, sender, found, received_at or self.now)
        if trusted and deliver:
            await self.send_event("sms.received", data)
        return str(message.id)

    async def send_event(self, event_type: str, data: Mapping[str, object]) -> None:
        """Send a webhook. Returns when the first attempt has ended; retries continue in the background."""
        event = self._webhooks.emit(event_type, data)
        self._touch()
        await event.tried.wait()

    async def settled(self) -> None:
        """Wait until every webhook has been delivered or given up."""
        self._touch()
        await self._webhooks.settled()

    async def reset(self) -> None:
        """Return to the state after construction."""
        await self.aclose()
        self._begin()

    async def aclose(self) -> None:
        """Stop timers and deliveries."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._webhooks.aclose()

    def _active_number(self, wanted: str) -> SandboxNumber:
        for number in self.state.numbers.values():
            if wanted in (number.piv_num_id, number.phone_number):
                if number.status(self.now) != "active":
                    raise ValueError(f"number {wanted} is {number.status(self.now)} and receives nothing")
                return number
        raise ValueError(f"there is no number {wanted}")

    def _touch(self) -> None:
        """Run the actions that are due, send waiting webhooks, and set a timer for the next action."""
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
            # At most an hour, since event loops limit the length of a timer.
            self._timer = loop.call_later(min(seconds, 3600.0), self._touch)
