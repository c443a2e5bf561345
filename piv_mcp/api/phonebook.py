"""Which number is meant: an id, or a phone number in any usual formatting."""

import re
from typing import TYPE_CHECKING

from piv_mcp.errors import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from piv_mcp.api.client import PivClient
    from piv_mcp.api.numbers import Number

_ID = re.compile(r"(?=.*[A-Za-z_])[A-Za-z0-9][A-Za-z0-9._-]*")
"""Ids of the reference hold letters, phone numbers do not; that is how they are told apart."""

DIALLABLE = r"[+(]{0,2}[0-9][0-9+()./ \u00a0\u2009\u2010-\u2013\u202f-]*"
"""What a phone number may look like: a pattern."""
"""With the spaces and dashes that web pages and word processors put in."""

MIN_DIGITS = 6
"""Fewer digits of a phone number name nobody."""

PAGES = 5
"""Pages of 200 that are looked through when the server's own search finds nothing."""


class Phonebook:
    """Resolves numbers through the API and remembers what it saw: an id keeps its phone number for life."""

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
        """The phone number of an id, if it was seen before."""
        return self._phones.get(piv_num_id)

    async def resolve(self, value: str) -> str:
        """The `piv_num_id` that `value` means. An id is taken as it is, without asking the API.

        Raises:
            NotFoundError: no number of the account is meant.
            InvalidRequestError: several are, or `value` is neither an id nor a phone number.
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
        for index in range(PAGES):  # the reference does not say how the search treats formatting
            if self._matches(wanted):
                return
            page = await self._client.numbers.list(limit=200, offset=200 * index)
            self.remember(page.items)
            if len(page.items) < 200:
                return


def significant_digits(phone: str) -> str:
    """The digits to compare: of the international form where there is one, else without the trunk prefix."""
    text = re.sub(r"^\(?(?:00|\+)", "+", phone.strip())
    if text.startswith("+"):
        import phonenumbers

        try:
            return phonenumbers.format_number(
                phonenumbers.parse(text), phonenumbers.PhoneNumberFormat.E164
            ).removeprefix("+")
        except phonenumbers.NumberParseException:
            return _digits(text)
    return _digits(text).lstrip("0")


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())
