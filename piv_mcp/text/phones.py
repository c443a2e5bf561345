"""Phone numbers as people write them: with any digits, spaces and dashes, and from whichever country.

Results are written as E.164 without a space: `+14155551234`.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from piv_mcp.text.invisible import is_invisible

_SCHEME = re.compile(r"(?i)^(?:tel|sms|callto):")
_LABEL = re.compile(r" *\([^\W\d_][^()0-9]*\)$")
"""What kind of number it is, such as `(mobile)`."""
_CONTEXT = re.compile(r"(?i);phone-context=(?:(\+[0-9][0-9(). -]*)|[^;]*)")
"""Where a local number of a `tel:` address is valid: below these first digits, or in a domain."""
_DIALLED = re.compile(r"\(?\+?\(?[0-9][0-9A-Za-z+()./ ~*#;:,=-]*")
"""What may be a phone number, perhaps with an extension or letters."""
_DIGITS_ALONE = re.compile(r"\(?\+?\(?[0-9][0-9()./ -]*")
_EXTENSION = re.compile(r"(?i)(?:;ext=|extension|ext|x|#|[,;]+)[ .:]*[0-9]{1,7}#?$")
_FROM_ABROAD = re.compile(r"\(?(?:\+|00)")

_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")

_CALLERS = ("US", "AU", "JP", "RU", "HK")
"""Regions whose prefixes for calls abroad are not 00: 011, 0011, 010, 8~10, 001."""

_SHORTEST, _LONGEST = 7, 15
"""Digits of an international number; E.164 sets the maximum."""

EXAMPLE = "+14155551234"


class PhoneNumberError(ValueError):
    """A text that is not the phone number which is wanted. The message says in words why."""


def plain(typed: str) -> str:
    """The text with ASCII digits, spaces and hyphens, without `tel:`, the label and the bidi marks that address books
    add. Control characters stay: no phone number has one."""
    text = "".join(_plain(char) for char in typed.strip()).strip()
    text = _SCHEME.sub("", _LABEL.sub("", text)).strip()
    if (context := _CONTEXT.search(text)) is None:
        return text
    number = text[: context.start()] + text[context.end() :]
    return number if context[1] is None or is_international(number) else context[1] + number.lstrip("0")


def is_dialled(text: str) -> bool:
    """Whether a plain text has the form of a phone number."""
    return _DIALLED.fullmatch(text) is not None


def is_international(text: str) -> bool:
    """Whether a plain text begins as a number does that is dialled from abroad, with + or 00."""
    return _FROM_ABROAD.match(text) is not None


def significant_digits(text: str) -> str:
    """The digits of a plain text, without an extension and without what stands before the country code or number."""
    digits = re.sub("[^0-9]", "", _EXTENSION.sub("", text).upper().translate(_KEYPAD))
    return digits.removeprefix("00") if is_international(text) else digits.lstrip("0")


def is_number(typed: str) -> bool:
    """Whether a text is a phone number or a short code, without letters."""
    return _DIGITS_ALONE.fullmatch(plain(typed)) is not None


def is_same(one: str, other: str) -> bool:
    """Whether two texts are one phone number or short code, in whatever forms they are written."""
    first, second = plain(one), plain(other)
    if not (_DIGITS_ALONE.fullmatch(first) and _DIGITS_ALONE.fullmatch(second)):
        return False
    if re.sub("[^0-9]", "", first) == re.sub("[^0-9]", "", second):
        return True
    return not _forms(first, beside=second).isdisjoint(_forms(second, beside=first))


def _forms(text: str, *, beside: str) -> set[str]:
    """The forms in E.164 of what a plain text means as it is, or dialled in the country of another number."""
    meant = written(text) | local(text, written(beside))
    return meant.union(*map(other_forms, meant))


def recipient(typed: str) -> str:
    """The E.164 form of a number that an SMS is to go to. No country is assumed.

    Raises:
        PhoneNumberError: no such number: without a country code, with an extension or letters, too short or long.
    """
    text = plain(typed)
    if not _DIGITS_ALONE.fullmatch(text):
        raise PhoneNumberError(f"{_why_not(text)}; give the number as {EXAMPLE}")
    if not is_international(text):
        raise PhoneNumberError(f"lacks its country code, and no country is assumed; give the number as {EXAMPLE}")
    number = _parsed(f"+{significant_digits(text)}")
    if number is None or _parsed(number) != number:
        raise PhoneNumberError(f"is not a phone number of any country; give it as {EXAMPLE}")
    if all(_is_too_long(form) for form in {number, *other_forms(number)}):
        raise PhoneNumberError(f"has too many digits for a number of its country; give one number, as {EXAMPLE}")
    return number


def written(text: str) -> set[str]:
    """The number in E.164 whose digits a plain text holds from the country code on, as it is and without a trunk 0.

    Empty for a text that begins with a single 0: it holds no country code.
    """
    if not is_international(text) and text.lstrip("(").startswith("0"):
        return set()
    number = f"+{significant_digits(text)}"
    return {number, _parsed(number) or number}


def local(text: str, known: Iterable[str]) -> set[str]:
    """The numbers in E.164 that a plain text means where it is dialled: in the countries of the `known` numbers, whose
    beginnings are enough, or in one with a prefix for calls abroad. A text with a plus sign is local nowhere."""
    if "+" in text[:2]:
        return set()
    regions = {_region(number[:4]) for number in known}
    found = {_parsed(text, region) for region in regions.union(_CALLERS) if region is not None}
    return {number for number in found if number is not None}


def other_forms(number: str) -> set[str]:
    """The same line as it is written elsewhere: with or without the mobile prefix that a country added or gave up."""
    forms: set[str] = set()
    for written, also in _RENUMBERED:
        if written.fullmatch(number):
            forms.add(written.sub(also, number))
    return forms - {number}


_RENUMBERED = (
    # Mexico: 1 from abroad, 044, 045 and 01 at home, until 2019.
    (re.compile(r"\+52(?:1|044|045|01)?([0-9]{10})"), r"+52\1"),
    (re.compile(r"\+52(?:1|044|045|01)?([0-9]{10})"), r"+521\1"),
    # Argentina: 9 from abroad, for calls and not for SMS.
    (re.compile(r"\+549?([0-9]{10})"), r"+54\1"),
    (re.compile(r"\+549?([0-9]{10})"), r"+549\1"),
    # Brazil: 9 before every mobile number, until 2016 without it.
    (re.compile(r"\+55([0-9]{2})9?([6-9][0-9]{7})"), r"+55\1\2"),
    (re.compile(r"\+55([0-9]{2})9?([6-9][0-9]{7})"), r"+55\g<1>9\2"),
    # Benin: 01 before every number since 2024.
    (re.compile(r"\+229(?:01)?([0-9]{8})"), r"+229\1"),
    (re.compile(r"\+229(?:01)?([0-9]{8})"), r"+22901\1"),
)


def _plain(char: str) -> str:
    if char.isascii():
        return " " if char == "\t" else char
    if is_invisible(char):
        return "" if unicodedata.category(char) in ("Cf", "Mn") else char
    if 0xFF01 <= ord(char) <= 0xFF5E:  # full-width forms of ASCII
        return chr(ord(char) - 0xFEE0)
    if char.isspace():
        return " "
    if char == "\u2212" or unicodedata.category(char) == "Pd":
        return "-"
    digit = unicodedata.decimal(char, None)
    return char if digit is None else str(digit)


def _why_not(text: str) -> str:
    if _EXTENSION.search(text):
        return "has an extension, which an SMS cannot go to"
    if re.search("[A-Za-z]", text):
        return "holds letters"
    return "is not a phone number"


def _parsed(text: str, region: str | None = None) -> str | None:
    import phonenumbers  # late: it costs start-up time, and ids need it not

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return written if _SHORTEST <= len(written) - 1 <= _LONGEST else None


def _is_too_long(number: str) -> bool:
    import phonenumbers  # late, as above

    reason = phonenumbers.is_possible_number_with_reason(phonenumbers.parse(number))
    return reason == phonenumbers.ValidationResult.TOO_LONG


@cache
def _region(start: str) -> str | None:
    """The region whose country code begins a number in E.164; the largest of those that share a code."""
    import phonenumbers  # late, as above

    for length in (2, 3, 4):  # the plus sign, and one to three digits
        code = start[1:length]
        if code.isdigit() and (regions := phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code))):
            return regions[0]
    return None
