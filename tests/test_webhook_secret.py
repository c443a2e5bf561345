"""The webhook secret that somebody chooses: what can be guessed is refused at start, with the reason."""

import re
import secrets
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piv_mcp.config import load
from piv_mcp.errors import ConfigError
from piv_mcp.text.guessable import MIN_SECRET, checked_secret


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("hunter2", "at least 16 characters"),
        ("x" * (MIN_SECRET - 1), "at least 16 characters"),
        ("a" * 64, "can be guessed"),
        ("abababababababab", "can be guessed"),
        ("secret12secret12", "can be guessed"),
        ("changemechangemechangeme", "can be guessed"),
        ("1234567890123456", "can be guessed"),
        ("0123456789abcdef", "can be guessed"),
        ("ABCDEFGHIJKLMNOPQRST", "can be guessed"),
        ("9876543210987654", "can be guessed"),
        ("qwertyuiopasdfgh", "can be guessed"),
        ("aaaabbbbccccddddeeeeffff", "can be guessed"),
        ("has/a/slash/and/is/long", "letters, digits"),
        ("words with blanks in it", "letters, digits"),
        ("ключ-из-кириллицы", "letters, digits"),
    ],
)
def test_a_secret_that_can_be_guessed_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, secret: str, reason: str
) -> None:
    monkeypatch.setenv("PIV_WEBHOOK_SECRET", secret)
    with pytest.raises(ConfigError) as caught:
        load()
    assert re.search(f"PIV_WEBHOOK_SECRET: .*{reason}.*token_urlsafe", caught.value.message)
    assert secret not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.parametrize(
    "secret",
    ["${PIV_WEBHOOK_SECRET}", "${user_config.webhook_secret}", "$PIV_WEBHOOK_SECRET", "%PIV_WEBHOOK_SECRET%"],
)
def test_a_variable_that_was_not_replaced_is_no_secret(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("PIV_WEBHOOK_SECRET", secret)
    with pytest.raises(ConfigError, match=r"PIV_WEBHOOK_SECRET: (holds a placeholder|must be letters)"):
        load()


@pytest.mark.parametrize("secret", ["a-secret-path-of-the-tests", "correct-horse-battery", "5f2b8c19d04e7a63"])
def test_any_other_of_sixteen_characters_is_taken(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("PIV_WEBHOOK_SECRET", secret)
    chosen = load().webhook_secret
    assert chosen is not None
    assert chosen.get_secret_value() == secret


def test_what_the_advice_makes_is_taken() -> None:
    for _ in range(2000):
        made = secrets.token_urlsafe(24)
        assert checked_secret(made) == made


@given(st.text(string.printable, max_size=60))
def test_any_text_is_taken_or_refused_and_nothing_short_is_taken(text: str) -> None:
    try:
        taken = checked_secret(text)
    except ValueError:
        return
    assert len(taken) >= MIN_SECRET
