"""The addresses at which a person is told, as Apprise knows them. They hold secrets, and stand in no log or error."""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from piv_mcp.errors import ConfigError

if TYPE_CHECKING:
    from apprise import Apprise

SEND_SECONDS = 30.0
"""How long an address may take for one notice."""

TALKATIVE = ("apprise", "urllib3", "requests")
"""Loggers of libraries that write addresses."""


@dataclass(slots=True)
class Receiver:
    """One address. `number` names it for people, in the order of PIV_NOTIFY; `digest` in the store."""

    number: int
    digest: str
    _service: "Apprise" = field(repr=False)
    _sending: "Future[bool] | None" = field(default=None, repr=False)
    """The last try, which may still go on after its time."""

    async def tell(self, title: str, body: str) -> bool:
        """Send one notice; returns whether the service has taken it. None is sent while an earlier try goes on."""
        from apprise import NotifyFormat  # late: it costs start-up time, and few have notices

        if self._sending is not None and not self._sending.done():
            return False
        service, text = self._service, NotifyFormat.TEXT
        sent = _in_own_thread(lambda: bool(service.notify(body, title, body_format=text)))  # pyright: ignore[reportUnknownMemberType] - it takes templates, too
        self._sending = sent
        try:
            async with asyncio.timeout(SEND_SECONDS):
                return await asyncio.wrap_future(sent)
        except TimeoutError:
            return False


def _in_own_thread(send: Callable[[], bool]) -> "Future[bool]":
    """Send in a thread that holds up nobody. A service that never ends its answer keeps its thread for good: one of
    Apprise's own would be missed by the other addresses, and by the end of the process, which waits for them."""
    sent: Future[bool] = Future()
    sent.set_running_or_notify_cancel()  # nothing can stop it from now on

    def run() -> None:
        try:
            sent.set_result(send())
        except Exception:  # of any service's code; its words can hold the address
            sent.set_result(False)

    threading.Thread(target=run, name="notice", daemon=True).start()
    return sent


def receivers(addresses: SecretStr) -> list[Receiver]:
    """The addresses, which have spaces between.

    Raises:
        ConfigError: one of them is none, or Apprise is not installed.
    """
    try:
        from apprise import Apprise, AppriseAsset  # late: it costs start-up time, and few have notices
    except ImportError:
        hint = "Install it with: pip install 'piv-mcp[notify]'"
        raise ConfigError("PIV_NOTIFY needs apprise, which is missing", hint=hint) from None
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    asset = AppriseAsset()
    asset._service_timeout = 0.0  # pyright: ignore[reportPrivateUsage] - with a limit it uses its own threads
    found: list[Receiver] = []
    for number, address in enumerate(addresses.get_secret_value().split(), start=1):
        service = Apprise(asset=asset)
        if not service.add(address):  # pyright: ignore[reportUnknownMemberType] - it takes configurations, too
            hint = "See https://github.com/caronc/apprise/wiki for the addresses of each service"
            raise ConfigError(f"PIV_NOTIFY: address {number} is none that Apprise knows", hint=hint)
        if len(service) > 1:  # while one of them is down, the others would be told again with each try
            raise ConfigError(f"PIV_NOTIFY: address {number} is several in one", hint="Put spaces between, not commas")
        digest = hashlib.sha256(f"piv-mcp notice {address}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        found.append(Receiver(number, digest, service))
    return found
