"""The check of a secret that a person chose: piv.day signs nothing, so whoever guesses it can invent codes."""

import itertools
import re

MIN_SECRET = 16
"""Characters."""

MIN_DIFFERENT = 6
"""Different characters. Sixteen random hexadecimal digits have fewer once in 25,000 times."""

ADVICE = (
    "leave it out, and one is made and kept; or make one: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
)

_ROWS = "qwertyuiopasdfghjklzxcvbnm"


def checked_secret(secret: str) -> str:
    """The secret. Raises `ValueError`, whose message never repeats it."""
    if problem := _problem(secret):
        raise ValueError(f"{problem}: {ADVICE}")
    return secret


def _problem(secret: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", secret):
        return "must be letters, digits, - or _"
    if len(secret) < MIN_SECRET:
        return f"must have at least {MIN_SECRET} characters, since whoever guesses it can send forged codes"
    if len(set(secret)) < MIN_DIFFERENT or secret in (secret + secret)[1:-1] or _neighbours(secret) > len(secret) / 2:
        return "can be guessed, since it repeats itself or follows the alphabet or the keyboard"
    return None


def _neighbours(secret: str) -> int:
    """How many characters follow from the one before: the same, or the next in the alphabet or on the keyboard."""
    pairs = itertools.pairwise(secret.lower())
    return sum(abs(ord(a) - ord(b)) <= 1 or a + b == "90" or a + b in _ROWS for a, b in pairs)
