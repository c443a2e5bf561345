"""The languages of people: texts by gettext, and prices, dates and ages as each language writes them (by Babel).

English is what the program is written in, and needs no catalog. The catalogs of the others are in `locale/`, beside
this module; `tests/locales.py` makes them.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, cached_property
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # for start-up time
    from babel import Locale

Code = Literal["en", "zh-Hans", "ru"]

LOCALES: Mapping[str, str] = {"en": "en", "zh-Hans": "zh_Hans", "ru": "ru"}
"""The languages by their tags (BCP 47), and the names of their locales."""

FOLDER = Path(__file__).with_name("locale")
DOMAIN = "piv_mcp"


class Language:
    """One language. `code` is its tag, as HTML has it."""

    def __init__(self, code: Code) -> None:
        self.code = code

    # --- texts

    def gettext(self, text: str, /, **values: object) -> str:
        """The text in this language, with its `values` in the places of their names in braces."""
        return _filled(self._catalog.gettext(text), values)

    def ngettext(self, one: str, many: str, count: int, /, **values: object) -> str:
        """The text for a count, which stands in the place of `{count}`."""
        return _filled(self._catalog.ngettext(one, many, count), {"count": self.number(count), **values})

    def pgettext(self, context: str, text: str, /) -> str:
        """The text in this language, where it means what it does in this `context`."""
        return self._catalog.pgettext(context, text)

    # --- values

    def number(self, value: Decimal | int) -> str:
        from babel.numbers import format_decimal  # late: what is only asked for by a model needs no locale

        return format_decimal(value, locale=self.locale)

    def money(self, amount: Decimal | str) -> str:
        """An amount of US dollars: to the cent, or more exactly where there are parts of cents."""
        from babel.numbers import format_currency  # late: likewise

        pattern = "#,##0.00####### ¤¤"
        return format_currency(Decimal(amount), "USD", pattern, locale=self.locale, currency_digits=False)

    def day(self, moment: date) -> str:
        from babel.dates import format_date  # late: likewise

        return format_date(moment, "medium", locale=self.locale)

    def moment(self, moment: datetime) -> str:
        """Day and time to the minute, in the time zone of `moment`, which is UTC everywhere here."""
        from babel.dates import format_date, format_time  # late: likewise

        when = format_time(moment, "HH:mm", locale=self.locale)
        return f"{format_date(moment, 'medium', locale=self.locale)} {when} UTC"

    def weekday(self, moment: date) -> str:
        """A day of the next or the last weeks, such as `Wed, Dec 2`."""
        from babel.dates import format_skeleton  # late: likewise

        return format_skeleton("MMMEd", _noon(moment), locale=self.locale)

    def month(self, moment: date) -> str:
        """A month with its year, such as `December 2026`."""
        from babel.dates import format_skeleton  # late: likewise

        return format_skeleton("yMMMM", _noon(moment), locale=self.locale)

    def span(self, seconds: float) -> str:
        """How long something lasts, in its largest unit, such as `5 minutes`."""
        from babel.dates import format_timedelta  # late: likewise

        return format_timedelta(timedelta(seconds=seconds), threshold=1.5, locale=self.locale)

    def age(self, seconds: float) -> str:
        """How long ago something was, such as `5 minutes ago`."""
        from babel.dates import format_timedelta  # late: likewise

        past = timedelta(seconds=-max(1.0, seconds))
        return format_timedelta(past, threshold=1.5, add_direction=True, locale=self.locale)

    @cached_property
    def locale(self) -> "Locale":
        from babel import Locale  # late: likewise

        return Locale.parse(LOCALES[self.code])

    @cached_property
    def _catalog(self) -> NullTranslations:
        if self.code == "en":
            return NullTranslations()
        with (FOLDER / LOCALES[self.code] / "LC_MESSAGES" / f"{DOMAIN}.mo").open("rb") as catalog:
            return GNUTranslations(catalog)


class PlainEnglish(Language):
    """English as a model and a terminal read it: without Babel, and numbers and dates as the API has them."""

    def number(self, value: Decimal | int) -> str:
        return str(value)

    def money(self, amount: Decimal | str) -> str:
        amount = Decimal(amount)
        cents = amount.quantize(Decimal("0.01"))
        return f"{cents if cents == amount else amount.normalize():f} USD"

    def day(self, moment: date) -> str:
        return f"{moment:%Y-%m-%d}"


PLAIN = PlainEnglish("en")


@cache
def language(code: Code) -> Language:
    return Language(code)


def language_or_plain(chosen: Code | None) -> Language:
    """The `chosen` language; without one, plain English, where no browser tells what a person reads."""
    return PLAIN if chosen is None else language(chosen)


def preferred(accepted: str, chosen: Code | None = None) -> Language:
    """The `chosen` language; without one, the one that a browser likes best of ours, by its `Accept-Language`."""
    if chosen is not None:
        return language(chosen)
    weighed: list[tuple[float, Code]] = []
    for item in accepted.split(",")[:50]:
        tag, _, weight = item.partition(";")
        code = _BY_SUBTAG.get(tag.strip().partition("-")[0].lower())
        quality = re.fullmatch(r"\s*[qQ]\s*=\s*([01](?:\.\d{0,3})?)\s*", weight)
        worth = 1.0 if not weight else float(quality[1]) if quality else 0.0
        if code is not None and worth > 0:
            weighed.append((worth, code))
    return language(max(weighed, key=lambda item: item[0], default=(0.0, "en"))[1])


_BY_SUBTAG: Mapping[str, Code] = {"en": "en", "zh": "zh-Hans", "ru": "ru"}


def _noon(day: date) -> datetime:
    """A moment of the day: Babel takes a plain date for none."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _filled(text: str, values: Mapping[str, object]) -> str:
    return text.format(**values) if values else text
