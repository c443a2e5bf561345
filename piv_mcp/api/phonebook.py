"""Find a number's id by its phone number, in any usual formatting."""

import re
from typing import TYPE_CHECKING

from piv_mcp.errors import InvalidRequestError, NotFoundError

# Types only: importing the client costs start-up time.
if TYPE_CHECKING:
    from piv_mcp.api.client import PivClient
    from piv_mcp.api.numbers import Number

_ID = re.compile(r"(?=.*[A-Za-z_])[A-Za-z0-9][A-Za-z0-9._-]*")
"""An id. The ids in the reference contain letters, and phone numbers do not."""

DIALLABLE = r"[+(]{0,2}[0-9][0-9+()./ \u00a0\u2009\u2010-\u2013\u202f-]*"
"""Pattern of a phone number, with the spaces and dashes that web pages and word processors insert."""

MIN_DIGITS = 6
"""Fewer digits do not identify a phone number."""

SEARCH_PAGES = 5
"""Pages of 200 numbers that are read when the server's own search finds nothing."""


class Phonebook:
    """Resolves phone numbers to ids through the API, with a cache: an id keeps its phone number for life."""

    def __init__(self, client: "PivClient | None") -> None:
        self._client = client
        self._ids: dict[str, str] = {}
        self._phones: dict[str, str] = {}

    def remember(self, numbers: "list[Number]") -> None:
        for number in numbers:
            if number.phone_number:
                self._ids[_digits(number.phone_number)] = number.piv_num_id
                self._phones[number.piv_num_id] = number.phone_number

    def phone_of(self, piv_num_id: str) -> str | None:
        """The phone number of an id, or `None` if the id was not seen before."""
        return self._phones.get(piv_num_id)

    async def resolve(self, value: str) -> str:
        """The `piv_num_id` of `value`. An id is returned as it is, without a request to the API.

        Raises:
            NotFoundError: no number of the account has this phone number.
            InvalidRequestError: several numbers match, or `value` is neither an id nor a phone number.
        """
        value = value.strip()
        if _ID.fullmatch(value):
            return value
        if not re.fullmatch(DIALLABLE, value):
            raise InvalidRequestError("piv_num_id: neither a number id nor a phone number", code="VALIDATION_ERROR")
        wanted = significant_digits(value)
        if len(wanted) < MIN_DIGITS:
            raise InvalidRequestError("piv_num_id: too short for a phone number", code="VALIDATION_ERROR")
        found = self._matches(wanted)
        if not found:
            await self._search(wanted)
            found = self._matches(wanted)
        if len(found) > 1:
            raise InvalidRequestError(
                f"piv_num_id: {len(found)} numbers end in these digits",
                code="VALIDATION_ERROR",
                hint="Give the number with its country code, or its id from list_numbers",
            )
        if not found:
            raise NotFoundError(
                "no number of this account has this phone number",
                code="NUMBER_NOT_FOUND",
                hint="list_numbers shows the account's numbers",
            )
        return self._ids[found[0]]

    def _matches(self, wanted: str) -> list[str]:
        if wanted in self._ids:
            return [wanted]
        return [digits for digits in self._ids if digits.endswith(wanted)]

    async def _search(self, wanted: str) -> None:
        if self._client is None:
            return
        page = await self._client.numbers.list(search=wanted, limit=200)
        self.remember(page.items)
        for index in range(SEARCH_PAGES):  # the reference does not say how the search treats formatting
            if self._matches(wanted):
                return
            page = await self._client.numbers.list(limit=200, offset=200 * index)
            self.remember(page.items)
            if len(page.items) < 200:
                return


def significant_digits(phone: str) -> str:
    """The digits to compare: those of the international form if there is one, else those after the trunk prefix."""
    text = re.sub(r"^\(?(?:00|\+)", "+", phone.strip())
    if text.startswith("+"):
        import phonenumbers  # late: it costs start-up time, and only some phone numbers need it

        try:
            return phonenumbers.format_number(
                phonenumbers.parse(text), phonenumbers.PhoneNumberFormat.E164
            ).removeprefix("+")
        except phonenumbers.NumberParseException:
            return _digits(text)
    return _digits(text).lstrip("0")


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())
