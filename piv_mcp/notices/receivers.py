"""The addresses at which a person is told, as Apprise knows them. They hold secrets, and stand in no log or error."""

import asyncio
import hashlib
import logging
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


@dataclass(frozen=True, slots=True)
class Receiver:
    """One address. `number` names it for people, in the order of PIV_NOTIFY; `digest` in the store."""

    number: int
    digest: str
    _service: "Apprise" = field(repr=False)

    async def tell(self, title: str, body: str) -> bool:
        """Send one notice; returns whether the service has taken it."""
        from apprise import NotifyFormat  # late: it costs start-up time, and few have notices

        try:
            async with asyncio.timeout(SEND_SECONDS):
                return bool(await self._service.async_notify(body, title, body_format=NotifyFormat.TEXT))
        except Exception:  # of any service's code; its words can hold the address
            return False


def receivers(addresses: SecretStr) -> list[Receiver]:
    """The addresses, which have spaces between.

    Raises:
        ConfigError: one of them is none, or Apprise is not installed.
    """
    try:
        from apprise import Apprise  # late: it costs start-up time, and few have notices
    except ImportError:
        hint = "Install it with: pip install 'piv-mcp[notify]'"
        raise ConfigError("PIV_NOTIFY needs apprise, which is missing", hint=hint) from None
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    found: list[Receiver] = []
    for number, address in enumerate(addresses.get_secret_value().split(), start=1):
        service = Apprise()
        if not service.add(address):  # pyright: ignore[reportUnknownMemberType] - it takes configurations, too
            hint = "See https://github.com/caronc/apprise/wiki for the addresses of each service"
            raise ConfigError(f"PIV_NOTIFY: address {number} is none that Apprise knows", hint=hint)
        if len(service) > 1:  # while one of them is down, the others would be told again with each try
            raise ConfigError(f"PIV_NOTIFY: address {number} is several in one", hint="Put spaces between, not commas")
        digest = hashlib.sha256(f"piv-mcp notice {address}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        found.append(Receiver(number, digest, service))
    return found
