"""When two texts are one message: the normal form, and texts that lost something on their way."""

import html
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from processor_time import times_as_long

from piv_mcp.text.invisible import is_invisible
from piv_mcp.text.sameness import LONGEST, nearly_same, same_text_key

SMS = "Your Acme verification code is 482913. Do not share it with anyone. It expires in ten minutes."
CORPUS = [
    json.loads(line)["text"]
    for line in (Path(__file__).parent / "corpus" / "develop.jsonl").read_text("utf-8").splitlines()
]

UNRELATED = 1906
"""So many at the beginning of the corpus are no variations of each other."""

words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z", "M")), min_size=1, max_size=8)
texts = st.lists(words, min_size=1, max_size=12).map(" ".join)
ascii_words = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789", min_size=1, max_size=8)
letters = st.sampled_from("éüñßøжШякλ验证码の한글😀🎉€→ğ")
mixed = st.lists(st.one_of(ascii_words, st.text(letters, min_size=1, max_size=5)), min_size=3, max_size=12).map(
    " ".join
)


def misread(text: str, encoding: str) -> str:
    """UTF-8 that was read as something else; Windows-1252 leaves five bytes to Latin-1, as browsers do."""
    return "".join(
        bytes([byte]).decode("latin-1" if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else encoding)
        for byte in text.encode()
    )


# The normal form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It's “Acme” – code 1234…", 'It’s "Acme" - code 1234...'),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("Tom &amp;amp;amp;#39;s", "Tom 's"),
        ("It&#39;s 1234", "It's 1234"),
        ("It&#x27;s 1234", "It's 1234"),
        ("It&amp;rsquo;s 1234", "It's 1234"),
        ("Cafe\u0301", "Café"),
        ("ＡＢＣ １２３", "ABC 123"),
        ("code\u00a01234", "code 1234"),
        ("code 1234 \r\n", "code 1234"),
        ("\ufeffcode\r\n\t 1234\u2029now", "code 1234 now"),
        ("co\u200bde\u2060 12\u00ad34", "code 1234"),
        ("code\x00 12\x1b34", "code 1234"),
        ("code \U000e0141 1234", "code 1234"),
        ("Ã©tÃ© 1234", "été 1234"),
        ("Itâ€™s 1234", "It's 1234"),
        ("Itâ\x80\x99s 1234", "It's 1234"),
        ("ÐšÐ¾Ð´ 1234", "Код 1234"),
        (misread(misread("Код 1234", "latin-1"), "latin-1"), "Код 1234"),
    ],
)
def test_what_differs_only_in_its_writing_is_the_same(one: str, other: str) -> None:
    assert same_text_key(one) == same_text_key(other)
    assert nearly_same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Your code is 1234", "Your code is 1235"),
        ("code 1234", "Code 1234"),
        ("code 12 34", "code 1234"),
        ("Café", "Cafe"),
        ("", "a"),
        ("it's", "its"),
    ],
)
def test_what_differs_in_more_is_not_the_same(one: str, other: str) -> None:
    assert same_text_key(one) != same_text_key(other)


def test_a_key_is_32_hexadecimal_digits() -> None:
    for text in ("", SMS, "Код", "\ud800"):
        assert len(same_text_key(text)) == 32
        assert int(same_text_key(text), 16) >= 0


CHANGES: list[Callable[[str], str]] = [
    html.escape,
    lambda text: html.escape(html.escape(text)),
    lambda text: f"\ufeff {text}\r\n ",
    lambda text: text.replace(" ", " \u00a0\n"),
    lambda text: "\u200b".join(text),
    lambda text: "\x07".join(text),
    lambda text: "\U000e0100".join(text),
]


@given(texts, st.sampled_from(CHANGES))
def test_no_change_of_the_writing_changes_the_key(text: str, change: Callable[[str], str]) -> None:
    assume("&" not in text)
    assert same_text_key(change(text)) == same_text_key(text)


@given(mixed, st.sampled_from(["latin-1", "cp1252"]))
def test_a_text_that_was_misread_has_the_key_of_what_was_meant(text: str, encoding: str) -> None:
    assert same_text_key(misread(text, encoding)) == same_text_key(text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_texts_can_be_compared_either_way(one: str, other: str) -> None:
    assert nearly_same(one, other) == nearly_same(other, one)
    assert nearly_same(one, one)
    if same_text_key(one) == same_text_key(other):
        assert nearly_same(one, other)


# Damage


@pytest.mark.parametrize(
    ("full", "damaged"),
    [
        ("Café &amp; Co: code 1234", "Caf? & Co: code 1234"),
        ("Café & Co: code 1234", "Caf & Co: code 1234"),
        ("Ваш код 1234", "??? ??? 1234"),
        ("Ваш код 1234", "?????? ?????? 1234"),
        ("Ваш код 1234", "___ ___ 1234"),
        ("Ваш код 1234", "... ... 1234"),
        ("Ваш код 1234", "? ? 1234"),
        ("Ваш код 1234", "1234"),
        ("Ваш код 1234", "Vash kod 1234"),
        ("Приветствуем", "????????????"),
        ("Grüße, dein Code 998877", "Gruesse, dein Code 998877"),
        ("Grüße, dein Code 998877", "Grusse, dein Code 998877"),
        ("Grüße, dein Code 998877", "Gr\ufffd\ufffd\ufffd\ufffde, dein Code 998877"),
        ("GRÜSSE Äpfel 998877", "GRUESSE Aepfel 998877"),
        ("验证码：057596，请勿泄露", "???:057596,????"),
        ("验证码：057596，请勿泄露", "????057596?????"),
        ("Přihlašovací kód: 123456", "Prihlasovaci kod: 123456"),
        ("🎉 Welcome! Code 12345", "Welcome! Code 12345"),
        ("🎉 Welcome! Code 12345", "???? Welcome! Code 12345"),
        ("Acme™: code 1234", "Acme?: code 1234"),
        ("Acme™: code 1234", "Acme(TM): code 1234"),
        ("Pay 5 € to Acme", "Pay 5 EUR to Acme"),
        ("Code [123456] Acme", "Code 123456 Acme"),
        ("Code [123456] Acme", "Code ?123456? Acme"),
        ("Code 1234 for Acme", "Code 1234 forAcme"),
        ("Code 1234 for Acme", "Code1234 for Acme"),
        ("Your code: 1234", "Your code: 12 34"),
        ("код ١٢٣٤ Acme shop", "??? ١٢٣٤ Acme shop"),
        (SMS, SMS[:70]),
        (SMS, SMS[:60] + "..."),
        (SMS, SMS[:60] + " …"),
        (SMS, SMS[:34]),
        (SMS + "é" + SMS, SMS + "?" + SMS[:40]),
        ("Tom &amp; Jerry: your code is 4455 &#8217;ok&#8217;", "Tom &amp; Jerry: your code is 4455 &#82"),
        ("Tom, your code is 4455 &amp; more", "Tom, your code is 4455 &a"),
        ("Tom, your code is 4455 &amp;amp; more", "Tom, your code is 4455 &amp;am"),
        ("Please use the code «été» 4455 now", misread("Please use the code «ét", "latin-1") + "\u00c3"),
        (SMS, "Your Acme verification code is 4829"),
        ("Use 482913 now", "Use 4829..."),
    ],
)
def test_a_damaged_text_is_nearly_the_same(full: str, damaged: str) -> None:
    assert nearly_same(full, damaged)
    assert nearly_same(damaged, full)


@pytest.mark.parametrize("became", ["?", "\ufffd", "??", ""])
@pytest.mark.parametrize(
    "text",
    [
        "Acme code 482913, don’t share it",
        "“Acme”: your code is ‘482913’",
        "Acme — code 482913 – expires soon…",
        "Acme: code\u00a0482913 for you",
        "Acme code 482913\u200b for you",
        "«Acme» код 482913",
    ],
)
def test_replaced_quotes_dashes_and_blanks_do_not_part_a_message(text: str, became: str) -> None:
    damaged = every_soft_character(text, lambda _: became)
    assert nearly_same(text, damaged)
    assert nearly_same(damaged, text)
    assert not nearly_same(text, damaged.replace("482913", "482914"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Your code is 1234", "Your code is 1235"),
        ("Your code is 1234", "Your code is 12345"),
        ("Your code is 1234", "Your code is 12"),
        ("Your code is 1234", "Your code is ????"),
        ("Your code is 1234", "Your code is"[:8]),
        ("Your code is 1234", "your code is 1234"),
        (SMS, SMS[:31] + "4829!"),
        (SMS, SMS[:31] + "4828"),
        (SMS, SMS[:40] + "x..."),
        (SMS, SMS[1:]),
        ("Hello", "Help"),
        ("Hello", "Hello world"),
        ("Ваш код 1234", "Ваш код 1235"),
        ("Ваш код 1234", "??? ??? 1235"),
        ("Ваш код 1234", "Your code 1234"),
        ("код ١٢٣٤ Acme", "код ???? Acme"),
        ("Code ① for Acme", "Code ? for Acme"),
        ("Code 1234 for Acme", "Code 1234 for Acne"),
        ("Code 1234 for Acme now", "Code 1234forAcme now"),
        ("Привет", "您的的的的"),
        ("Привет", "?"),
        ("Привет", ""),
        ("a", "b"),
    ],
)
def test_another_message_is_not_nearly_the_same(one: str, other: str) -> None:
    assert not nearly_same(one, other)
    assert not nearly_same(other, one)


def every_soft_character(text: str, damage: Callable[[str], str]) -> str:
    return "".join(char if char.isascii() else damage(char) for char in text)


def in_another_encoding(text: str) -> str:
    """What is outside ASCII of the text, in the encoding that it may have had before."""
    return "".join(char for char in text.encode("cp1252", "ignore").decode(errors="ignore") if not char.isascii())


DAMAGES: list[Callable[[str], str]] = [
    lambda char: "?",
    lambda char: "?" * len(char.encode()),
    lambda char: "\ufffd",
    lambda char: "_",
    lambda char: "",
]


@given(mixed, st.sampled_from(DAMAGES), st.integers(0, 10))
def test_replaced_characters_do_not_part_a_message(text: str, damage: Callable[[str], str], cut: int) -> None:
    # Read in the wrong encoding, some of them are digits of other scripts, which are never lost: ß€ is a zero of N'Ko.
    assume(not any(map(str.isdecimal, in_another_encoding(text))))
    damaged = every_soft_character(text, damage)
    assume(sum(char.isascii() and char.isalnum() for char in damaged) >= 4)
    assert nearly_same(text, damaged)
    shorter = text[: len(text) - cut] + "..."
    assume(sum(char.isascii() and char.isalnum() for char in shorter) >= 4 and len(shorter) >= 12)
    assert nearly_same(text, shorter)


@given(mixed, st.data())
def test_another_digit_always_parts_two_messages(text: str, data: st.DataObject) -> None:
    places = [index for index, char in enumerate(text) if char.isdecimal()]
    assume(places)
    place = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != text[place]]))
    other = text[:place] + digit + text[place + 1 :]
    assert not nearly_same(text, other)
    assert not nearly_same(text, every_soft_character(other, lambda char: "?"))


@given(mixed, st.data())
def test_another_letter_in_a_plain_word_always_parts_two_messages(text: str, data: st.DataObject) -> None:
    places = [index for index, char in enumerate(text) if char.isascii() and char.isalpha()]
    assume(places)
    place = data.draw(st.sampled_from(places))
    letter = data.draw(st.sampled_from([letter for letter in "aeQZ" if letter != text[place]]))
    assert not nearly_same(text, text[:place] + letter + text[place + 1 :])


def sample(texts: list[str]) -> list[tuple[str, str]]:
    shown = texts[:: max(1, len(texts) // 120)]
    return [(one, other) for index, one in enumerate(shown) for other in shown[:index]]


def test_no_two_messages_of_the_corpus_are_nearly_the_same() -> None:
    near = [
        (one, other)
        for one, other in sample(CORPUS[:UNRELATED])
        if same_text_key(one) != same_text_key(other) and nearly_same(one, other)
    ]
    assert near == []


def test_no_two_messages_with_different_numbers_are_nearly_the_same() -> None:
    """Also of those in the corpus that are variations of each other."""

    def digits(text: str) -> str:
        return "".join(char for char in text if char.isdecimal())

    near = [
        (one, other)
        for one, other in sample(CORPUS)
        if digits(one)[:4] != digits(other)[:4] and nearly_same(one, other)
    ]
    assert near == []


# Time


def test_a_key_of_a_usual_message_takes_little_time() -> None:
    text = (SMS * 2)[:160]
    took = times_as_long(
        lambda: [same_text_key(text) for _ in range(500)], lambda: [json.dumps(text) for _ in range(500)]
    )
    assert took < 25  # 5, which is some microseconds


HOSTILE = [
    ("é", "?"),
    ("é ", "? "),
    ("ä", "??"),
    ("Ã©", "é"),
    ("&amp;", "&"),
    ("&amp;amp;", "&#38;"),
    ("&", "&amp"),
    ("ﷺ", "?"),
    ("\u0301", "é"),
    ("a\u0301\u0327", "?"),
    (".é", "?."),
    ("[é ", "  ?"),
    ("½", "?"),
    ("&#x41;", "&#x42;"),
    ("a", "a "),
    ("1", "11"),
    ("…", "."),
    ("ё", "yo"),
]


def beside_its_normal_form(job: Callable[[], object]) -> float:
    """How many times what Unicode's normal form of the largest hostile text takes."""
    largest = "ﷺ" * LONGEST
    return times_as_long(job, lambda: unicodedata.normalize("NFKC", largest))


@pytest.mark.parametrize("size", [700, 1600, 10_000])
@pytest.mark.parametrize(("one", "other"), HOSTILE)
def test_a_hostile_text_takes_a_few_times_its_normal_form(one: str, other: str, size: int) -> None:
    full = (one * size)[:size]
    for tail in ("", "x", "...", "é..."):
        short = (other * size)[: size - len(tail)] + tail
        assert beside_its_normal_form(lambda: nearly_same(full, short)) < 5  # noqa: B023 - called at once
    assert beside_its_normal_form(lambda: same_text_key(full)) < 50


def test_nothing_invisible_counts() -> None:
    for code in (0x00AD, 0x034F, 0x180F, 0x200B, 0x2065, 0xFE0F, 0xFFF0, 0x1D173, 0xE0001, 0xE01EF):
        assert is_invisible(chr(code))
        assert same_text_key(f"co{chr(code)}de") == same_text_key("code")
