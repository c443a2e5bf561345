"""Find a number's id by its phone number, as people write it.

Only whole numbers are matched, never their last digits. What a text leaves out (the country, the prefix for calls
abroad, a mobile prefix that was given up) is supplied by the account's own numbers: the text must mean one of them.
"""

import re
from typing import TYPE_CHECKING

from piv_mcp.errors import InvalidRequestError, NotFoundError
from piv_mcp.text import phones
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.text.untrusted import one_line

# Types only: importing the client costs start-up time.
if TYPE_CHECKING:
    from piv_mcp.api.client import PivClient
    from piv_mcp.api.numbers import Number

_ID = re.compile(r"(?=.*[A-Za-z_])[A-Za-z0-9][A-Za-z0-9._-]*")
"""An id. The ids in the reference contain letters, and phone numbers hardly do."""

_ID_OR_PHONE = re.compile(r"(?i)[0-9][0-9.-]{2,}(?:ext\.?|x)[0-9]{1,7}|(?=.{7,20}$)[0-9][0-9.-]{2,}[A-Z]{3,}[0-9.-]*")
"""What has the form of an id and is more likely a phone number: with an extension, or ending in a word."""

MIN_DIGITS = 6
"""Fewer digits do not identify a phone number."""

SEARCH_DIGITS = 7
"""The last digits, which a number has in any formatting: what the server searches for."""

SEARCH_PAGES = 5
"""Pages of 200 numbers that are read when the server's own search finds nothing."""


KNOWN_SECONDS = 600.0
"""How long it is relied on that a phone number belongs to an id. Numbers are rented again after others gave them up."""

KNOWN_EXPIRED_SECONDS = 2.0
"""The same for a number that is not active: it may be rented again, as another id."""

_STANDING = {None: 0, "active": 0, "expired": 2}
"""Of several ids with one phone number, those of the lowest standing are meant. Any other status stands between."""


class Phonebook:
    """Resolves phone numbers to ids through the API, with a cache. An id keeps its phone number for life; a phone
    number may have belonged to several ids, of which the active one is meant."""

    def __init__(self, client: "PivClient | None", clock: Clock = SYSTEM_CLOCK) -> None:
        self._client = client
        self._clock = clock
        self._ids: dict[str, dict[str, Number]] = {}
        """By phone number, in E.164, the numbers as they were last listed, by id."""
        self._seen_at: dict[str, float] = {}
        """When a phone number was last listed, by `Clock.monotonic`."""
        self._phones: dict[str, str] = {}
        self._country_codes: set[str] = set()
        """The beginnings of the account's numbers in E.164, with the country code in them."""
        self._searched: set[str] = set()
        """The phone numbers, as they were typed, for which the API was searched."""

    def remember(self, numbers: "list[Number]") -> None:
        for number in numbers:
            if number.phone_number:
                digits = _digits(number.phone_number)
                self._ids.setdefault(f"+{digits}", {})[number.piv_num_id] = number
                self._seen_at[f"+{digits}"] = self._clock.monotonic()
                self._phones[number.piv_num_id] = number.phone_number
                self._country_codes.add(f"+{digits[:3]}")

    def phone_of(self, piv_num_id: str) -> str | None:
        """The phone number of an id, or `None` if the id was not seen before."""
        return self._phones.get(piv_num_id)

    def known(self) -> "list[Number]":
        """All numbers, as they were last listed."""
        return [number for numbers in self._ids.values() for number in numbers.values()]

    async def resolve(self, value: str) -> str:
        """The `piv_num_id` of `value`. An id is returned as it is, without a request to the API.

        Raises:
            NotFoundError: no number of the account has this phone number.
            InvalidRequestError: several numbers match, or `value` is neither an id nor a phone number.
        """
        value = value.strip()
        if value in self._phones or (_ID.fullmatch(value) and not await self._is_phone(value)):
            return value
        text = phones.plain(value)
        if not phones.is_dialled(text):
            raise _invalid("neither a number id nor a phone number")
        if len(phones.significant_digits(text)) < MIN_DIGITS:
            raise _invalid("too short for a phone number")
        known = self._exact(text) or (self._matches(text) if text in self._searched else [])
        if not known or not all(map(self._is_settled, known)):
            await self._search(text)
        found = self._matches(text)
        meant = [id_ for number in found for id_ in self._meant(number)]
        if len(meant) > 1:
            raise _invalid(
                f"{len(meant)} numbers fit: {self._names(found)}", hint=_WHOLE if len(found) > 1 else _ID_HINT
            )
        if not meant:
            raise self._unknown(text)
        return meant[0]

    def _meant(self, number: str) -> list[str]:
        """The ids that a phone number means: the active ones, else those that expire last."""

        def standing(item: "Number") -> tuple[int, float]:
            rank = _STANDING.get(item.status, 1)
            return rank, -item.expires_at.timestamp() if rank and item.expires_at else 0.0

        items = self._ids[number].values()
        best = min(map(standing, items))
        return [item.piv_num_id for item in items if standing(item) == best]

    def _is_settled(self, number: str) -> bool:
        """Whether a phone number certainly means now what it meant when it was last listed."""
        id_, *others = self._meant(number)
        item = self._ids[number][id_]
        was_active = _STANDING.get(item.status, 1) == 0
        known = KNOWN_SECONDS if was_active else KNOWN_EXPIRED_SECONDS
        is_recent = self._clock.monotonic() - self._seen_at[number] <= known
        return is_recent and not others and not (was_active and self._is_over(item))

    def _is_over(self, item: "Number") -> bool:
        """Whether the number has expired by piv.day's clock, whatever its status was when it was last listed."""
        now = self._client.remote_clock.time() if self._client is not None else None
        return now is not None and item.expires_at is not None and item.expires_at.timestamp() <= now

    async def _is_phone(self, value: str) -> bool:
        """Whether a text in the form of an id is a phone number: it looks like one, and no number has it as its id."""
        if self._client is None or not _ID_OR_PHONE.fullmatch(value):
            return False
        try:
            self.remember([await self._client.numbers.get(value)])
        except NotFoundError:
            return True
        return False

    def _exact(self, text: str) -> list[str]:
        """The account's numbers whose digits the text holds."""
        return sorted(phones.written(text) & self._ids.keys())

    def _matches(self, text: str) -> list[str]:
        """The account's numbers that the text means: as it is written, else as it is dialled, else in another form."""
        if exact := self._exact(text):
            return exact
        meant = phones.local(text, self._country_codes)
        if dialled := sorted(meant & self._ids.keys()):
            return dialled
        others = {form for number in meant | phones.written(text) for form in phones.other_forms(number)}
        return sorted(others & self._ids.keys())

    async def _search(self, text: str) -> None:
        """Remember the numbers that the text can mean. What is not exact is not decided by what was seen before."""
        if self._client is None:
            return
        digits = phones.significant_digits(text)
        part = digits if phones.is_international(text) else digits[-SEARCH_DIGITS:]
        page = await self._client.numbers.list(search=part, limit=200)
        if page.length < 200 and not page.unreadable:
            # All numbers with these digits are listed: ids that are not among them have been given up.
            for number in page.items:
                self._ids.pop(f"+{_digits(number.phone_number or '')}", None)
        self.remember(page.items)
        for index in range(SEARCH_PAGES):  # the reference does not say how the search treats formatting
            if self._matches(text):
                break
            page = await self._client.numbers.list(limit=200, offset=200 * index)
            self.remember(page.items)
            if page.length < 200:
                break
        self._searched.add(text)

    def _unknown(self, text: str) -> InvalidRequestError | NotFoundError:
        """The error for a phone number that the account does not have. Its last digits are not enough."""
        digits = phones.significant_digits(text)
        ending = sorted(number for number in self._ids if number.endswith(digits))
        if ending:
            count = f"{len(ending)} numbers end" if len(ending) > 1 else "a number ends"
            return _invalid(f"{count} in these digits: {self._names(ending)}", hint=_WHOLE)
        return NotFoundError(
            "no number of this account has this phone number",
            code="NUMBER_NOT_FOUND",
            hint="list_numbers shows the account's numbers",
        )

    def _names(self, numbers: list[str]) -> str:
        named = [(number, id_) for number in numbers for id_ in self._meant(number)]
        shown = [f"{number} ({one_line(id_)})" for number, id_ in named[:5]]
        return ", ".join(shown) + (", ..." if len(named) > 5 else "")


_WHOLE = "Give the number with its country code, or its id from list_numbers"
_ID_HINT = "Give the id of the one that is meant; list_numbers shows their status"


def _invalid(problem: str, *, hint: str | None = None) -> InvalidRequestError:
    return InvalidRequestError(f"piv_num_id: {problem}", code="VALIDATION_ERROR", hint=hint)


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())
