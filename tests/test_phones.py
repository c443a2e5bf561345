"""Phone numbers as people write them: one E.164 form for a recipient, or a problem in words."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piv_mcp.text import phones
from piv_mcp.text.phones import PhoneNumberError, recipient


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("+14155550123", "+14155550123"),
        ("+1 (415) 555-0123", "+14155550123"),
        (" +1.415.555.0123 ", "+14155550123"),
        ("0046701234567", "+46701234567"),
        ("00 46 70 123 45 67", "+46701234567"),
        ("(+46) (0)70-123 45 67", "+46701234567"),
        ("+49 30/1234567", "+49301234567"),
        ("+39 (0)6 1234 5678", "+390612345678"),
        ("tel:+1-415-555-0123", "+14155550123"),
        ("TEL: +1-415-555-0123", "+14155550123"),
        ("sms:+14155550123", "+14155550123"),
        ("＋１ ４１５ ５５５ ０１２３", "+14155550123"),
        ("٠٠٤٦ ٧٠ ١٢٣٤٥٦٧", "+46701234567"),
        ("\u202a+1\u2011415\u2013555\u22120123\u202c", "+14155550123"),
        ("+1\u00a0415\u202f555\u20090123", "+14155550123"),
        ("+1\t415 5550123\n", "+14155550123"),
        ("+52 1 55 1234 5678", "+5215512345678"),
    ],
)
def test_a_recipient_has_one_form(typed: str, sent: str) -> None:
    assert recipient(typed) == sent


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("(415) 555-0123", "lacks its country code, and no country is assumed"),
        ("070-123 45 67", "lacks its country code"),
        ("011 46 70 123 45 67", "lacks its country code"),
        ("46701234567", "lacks its country code"),
        ("+1 415 555 0123 ext. 5", "has an extension"),
        ("+1 415 555 0123x5", "has an extension"),
        ("tel:+14155550123;ext=5", "has an extension"),
        ("+1 415 555 0123,,5#", "has an extension"),
        ("+1-800-FLOWERS", "holds letters"),
        ("call me", "holds letters"),
        ("++14155550123", "is not a phone number"),
        ("+1 415+555 0123", "is not a phone number"),
        ("+46 70 123 45 6²", "is not a phone number"),
        ("+14155550123\n+14155550124", "is not a phone number"),
        ("+14155550123 / 4155550124", "is not a phone number of any country"),
        ("+1 415 555 0123/0124", "too many digits"),
        ("+999 12345678", "is not a phone number of any country"),
        ("+12345", "is not a phone number of any country"),
        ("+46 00 70 123 45 67", "is not a phone number of any country"),
        ("", "is not a phone number"),
        ("+", "is not a phone number"),
        ("+1415555\x000123", "is not a phone number"),
    ],
)
def test_what_is_no_recipient_is_told_in_words_with_an_example(typed: str, problem: str) -> None:
    with pytest.raises(PhoneNumberError) as told:
        recipient(typed)
    assert problem in str(told.value)
    assert "+14155551234" in str(told.value)


ACCOUNT = {
    "RU": "+79161234567",
    "MX": "+525512345678",
    "MX, as it was": "+5215587654321",
    "AR": "+5491123456789",
    "GB": "+442079460958",
    "SE": "+46701234567",
    "US": "+18003569377",
    "BR": "+5511987654321",
    "BJ": "+2290197123456",
}
"""Numbers of an account."""


@pytest.mark.parametrize(
    ("typed", "whose"),
    [
        ("8 (916) 123-45-67", "RU"),
        ("916 123 45 67", "RU"),
        ("+7 8 916 1234567", "RU"),
        ("044 55 1234 5678", "MX"),
        ("045 55 1234 5678", "MX"),
        ("01 55 1234 5678", "MX"),
        ("+52 1 55 1234 5678", "MX"),
        ("55 8765 4321", "MX, as it was"),
        ("011 15 2345-6789", "AR"),
        ("+54 11 2345-6789", "AR"),
        ("+54 9 11 2345 6789", "AR"),
        ("+54 11 15 2345 6789", "AR"),
        ("011-44-20-7946-0958", "GB"),
        ("0011 44 20 7946 0958", "GB"),
        ("8~10 44 20 7946 0958", "GB"),
        ("44 20 7946 0958", "GB"),
        ("+44 (0)20 7946 0958", "GB"),
        ("020 7946 0958 ext. 5", "GB"),
        ("+46 70 123 45 67;ext=5", "SE"),
        ("tel:+46-70-123-45-67", "SE"),
        ("tel:070-1234567;phone-context=+46", "SE"),
        ("０７０－１２３ ４５ ６７", "SE"),
        ("070-1234567x5", "SE"),
        ("1-800-FLOWERS", "US"),
        ("+1 800 FLOWERS", "US"),
        ("(11) 8765-4321", "BR"),
        ("0 15 11 98765-4321", "BR"),
        ("+229 97 12 34 56", "BJ"),
        ("234 5678", None),
        ("1234567", None),
        ("8 (916) 123-45-68", None),
    ],
)
def test_a_number_is_read_as_one_of_the_account_s(typed: str, whose: str | None) -> None:
    plain = phones.plain(typed)
    found = phones.written(plain) | phones.local(plain, ACCOUNT.values())
    forms = found.union(*(phones.other_forms(number) for number in found))
    assert [country for country, number in ACCOUNT.items() if number in forms] == ([whose] if whose else [])


def test_a_trunk_zero_is_no_part_of_a_country_code() -> None:
    """070 123 45 67 is Swedish or Polish, and never +7 012 345 67."""
    assert phones.written("0701234567") == phones.written("(070) 1234567") == set()
    assert phones.written("00701234567") == phones.written("+701234567")


letters = st.sampled_from("+0123456789 ()-./x;ext=#,tel:ABC\u200e\u2011１²")
texts = st.text(max_size=60) | st.text(letters, max_size=30) | st.text(letters, max_size=20).map("+{}".format)
numbers = st.from_regex(r"\A(\+|00)[1-9][0-9 ()./-]{5,18}\Z")


@settings(max_examples=500)
@given(texts | numbers)
def test_each_recipient_is_refused_or_has_a_form_that_stays(text: str) -> None:
    try:
        form = recipient(text)
    except PhoneNumberError:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", form)
    assert recipient(form) == form


@settings(max_examples=200)
@given(texts | numbers)
def test_any_text_can_be_looked_up_among_an_account_s_numbers(text: str) -> None:
    plain = phones.plain(text)
    assert phones.plain(plain) == plain or "tel" in plain.lower() or "sms" in plain.lower()
    if phones.is_dialled(plain):
        for number in phones.written(plain) | phones.local(plain, ACCOUNT.values()):
            assert re.fullmatch(r"\+[0-9]*", number)
            assert phones.other_forms(number).isdisjoint({number})
