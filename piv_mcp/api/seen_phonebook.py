"""The phonebook of a caller who does not see all numbers."""

from typing import TYPE_CHECKING

from piv_mcp.api.phonebook import Phonebook
from piv_mcp.api.seen_numbers import NumberSight
from piv_mcp.errors import NotFoundError
from piv_mcp.text.times import Clock

# Types only: importing the client costs start-up time.
if TYPE_CHECKING:
    from piv_mcp.api.client import PivClient


class SeenPhonebook(Phonebook):
    """Resolves to the numbers of `sight` alone. `client` must have the same sight: what a phone number can mean, and
    what a number ends in, is told by the caller's own numbers."""

    def __init__(self, client: "PivClient | None", clock: Clock, sight: NumberSight) -> None:
        super().__init__(client, clock)
        self._sight = sight

    async def resolve(self, value: str) -> str:
        """As `Phonebook.resolve`.

        Raises:
            NotFoundError: also for an id that the caller does not see, in piv.day's own words.
        """
        piv_num_id = await super().resolve(value)
        own = await self._sight.own_numbers()
        if own is not None and piv_num_id not in own:
            if self._client is not None:
                await self._client.numbers.get(piv_num_id)
            raise NotFoundError("there is no such number", code="NUMBER_NOT_FOUND")
        return piv_num_id
