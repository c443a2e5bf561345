"""Find the link of an SMS that signs in or confirms when a person opens it: some services send one in place of a code.

A wrong link is worse than none, since the text is shown anyway. So all of this must hold:

* The link holds what only this message has: a parameter such as ``?token=``, or a part of its path that is no word.
* The words beside the link are of signing in or confirming, or those of its own path are: ``/login/``, ``/verify?``.
* The message is about nothing else that has links: a parcel, an order, a discount, an amount, an appointment.
* The sentence of the link is no warning ("If this was not you: ...").
* The host is a valid name of the DNS. It is written in ASCII, so that a look-alike letter shows (``xn--``).

Nothing here, nor anywhere else, opens a link.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final, NamedTuple

from piv_mcp.inbox.codes.candidates import Item, blank_addresses, parse_message
from piv_mcp.inbox.codes.lexicon import Kind, is_unspaced
from piv_mcp.inbox.codes.parts import parts_of
from piv_mcp.inbox.codes.text import fold, normalise
from piv_mcp.text.hosts import HostNameError, host_name
from piv_mcp.text.invisible import is_invisible
from piv_mcp.text.untrusted import MAX_TEXT

MAX_LINK_CHARS: Final = 1000
"""A longer link is not taken: it is shown as it is, and not as the words of a stranger are."""

_MOST_LINKS: Final = 5
_LINK: Final = re.compile(r"(?i)(?<![a-z0-9+.-])https?://[^\s<>\"`]+")
# What follows the host is ASCII: texts in scripts without spaces go on directly behind a link.
_PARTS: Final = re.compile(
    r"(?i)(?P<scheme>https?://)(?P<user>[!-.0-;=A-Z\[\]^_a-z{|}~]*@)?"
    r"(?P<host>[^\x00-,/:-@\[\\\]^`{|}~]+)(?P<rest>(?::[0-9]{1,5})?(?:[/?#][!-~]*)?)"
)
_TRAILING: Final = ".,;:!?'*_~|"
_BRACKETS: Final = {")": "(", "]": "[", "}": "{"}

_SECRET: Final = re.compile(
    r"(?i)[?&#;](?:token|code|otp|key|tok|ticket|secret|hash|sig|signature|jwt|magic|nonce|pin|passcode)=[^&#;]"
)
_LEAST_DIGITS: Final = 4
_LONG_PART: Final = 20
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PATH_OF_SIGNING_IN: Final = re.compile(
    r"(?<![a-z])(?:log[ _-]?[io]n|sign[ _-]?in|o?auth|sso|magic|magiclink|passwordless|verif|verify|verification"
    r"|confirm|confirmation|activate|activation|validate|otp|mfa|passcode|reset|connexion|anmelden|bestaetigen"
    r"|einloggen|verificar|confirmar|activar|ativar|acceso|acceder|entrar|conferma|accedi|inloggen)(?![a-z])"
)

_NEAR_CHARS: Final = 300
_SENTENCE_END: Final = re.compile(r"[!?;\n。！？।؟]+|\.(?=\s|$)")
# Folded words that sign in by a link, and say nothing beside a code.
_MORE_SIGN_IN: Final = re.compile(
    r"magic.?link|\b(?:connectez|acced[aei]\b|entra (?:con|aqui)|entre (?:com|aqui)|ingresa (?:con|aqui)"
    r"|meld(?:en|est|e) (?:sie|du|dich)\b|loggen\b|logga in|logg inn|log ind|zweryf|zaloguj|girmek|войди|увійд|увійт"
    r"|kirjaudu|conferma|activez)"
)
# Folded words that say less beside a link than beside a code.
_WEAK: Final = re.compile(
    r"access|secur|segur|sicher|secret|device|temporar|single use|connect$|identit|recover|prove$|restore|pair"
    r"|linking|signature|firma|checkout|register|registr|unic"
)
_OTHER_THINGS: Final = frozenset((Kind.PARCEL, Kind.ORDER, Kind.COUPON, Kind.COURIER, Kind.AMOUNT, Kind.MONEY))
_MORE_OTHER_THINGS: Final = re.compile(
    r"\b(?:appointment|attendance|visit|visita|reserv|booking|termin\b|rendez|cita\b|consulta\b|wizyt|запис|прием"
    r"|survey|poll|feedback|review|statement|bill\b|survei|encuesta|umfrage|sondage|webinar|event\b|rsvp|interview"
    r"|shift\b|subscription|unsubscribe|delivery|refill|prescription|vaccin|ticket|meeting|flight|lease|donat|concert|medication)"
    r"|予約|预约|預約|예약|アンケート|问卷|설문"
)


class _Link(NamedTuple):
    whole: str
    rest: str
    """What follows the host."""


def sign_in_link(text: str) -> str | None:
    """The link in the text of an SMS that signs in or confirms, with its host in ASCII; None if there is none."""
    if "://" not in text or len(text) > MAX_TEXT or parts_of(text) is not None:  # a part may end within the link
        return None
    for found in islice(_LINK.finditer(text), _MOST_LINKS):
        link = _written(text, found)
        if link is None or len(link.whole) > MAX_LINK_CHARS:
            continue
        if _holds_a_secret(link.rest) and _is_for_signing_in(text, found, link.rest):
            return link.whole
    return None


def host_of(link: str) -> str | None:
    """The host that a link of `sign_in_link` leads to, whatever stands before an `@`."""
    parts = _PARTS.fullmatch(link)
    return None if parts is None else parts["host"]


def _written(text: str, found: re.Match[str]) -> _Link | None:
    """A link as it is to be opened; None if it is cut off, or its host is no valid name."""
    parts = _PARTS.match(text, found.start(), found.end())
    if parts is None or _is_cut_off(parts["rest"], text[parts.end() : found.end()]):
        return None
    try:
        host = host_name(parts["host"])
    except HostNameError:
        return None
    rest = _without_end(parts["rest"]).replace("&amp;", "&")
    return _Link(f"{parts['scheme'].lower()}{parts['user'] or ''}{host}{rest}", rest)


def _is_cut_off(rest: str, behind: str) -> bool:
    """Whether a link goes on in what stands directly behind it, or ends in dots."""
    following = next((char for char in behind if not is_invisible(char)), "")
    goes_on = following.isascii() or (following.isalnum() and not is_unspaced(following))
    return rest.endswith("..") or following == "…" or (following != "" and goes_on)


def _without_end(rest: str) -> str:
    """What follows a host, without the marks that belong to the sentence."""
    while rest:
        opening = _BRACKETS.get(rest[-1])
        if rest[-1] not in _TRAILING and (opening is None or rest.count(opening) >= rest.count(rest[-1])):
            break
        rest = rest[:-1]
    return rest


def _holds_a_secret(rest: str) -> bool:
    return _SECRET.search(rest) is not None or any(map(_is_no_word, re.split(r"[^A-Za-z0-9]+", rest)))


def _is_no_word(part: str) -> bool:
    if len(part) >= _LONG_PART or sum(map(str.isdigit, part)) >= _LEAST_DIGITS:
        return True
    is_word = part.isalpha() and (part.islower() or part.isupper() or part.istitle())
    return len(part) > _LEAST_DIGITS and not is_word


def _is_for_signing_in(text: str, found: re.Match[str], rest: str) -> bool:
    whole = _folded(f"{text[: found.start()]} \n {text[found.end() :]}")
    if "%" in whole or _MORE_OTHER_THINGS.search(whole) or _OTHER_THINGS & {item.kind for item in _words(whole)}:
        return False
    near = _folded(_sentence(text, found))
    words = _words(near)
    if any(item.kind is Kind.NEGATION and not _is_without(words, item) for item in words):
        return False
    if _PATH_OF_SIGNING_IN.search(_CAMEL.sub(" ", rest).lower()) or _MORE_SIGN_IN.search(near):
        return True
    return any(item.kind is Kind.SIGN_IN and not _WEAK.match(near, item.start, item.end) for item in words)


def _sentence(text: str, found: re.Match[str]) -> str:
    """The sentence of a link without the link, which may stand on the next line."""
    before = text[max(0, found.start() - _NEAR_CHARS) : found.start()].rstrip(" \n\r\t:.")
    behind = "" if found[0][-1] in ".!?" else text[found.end() : found.end() + _NEAR_CHARS]
    return f"{_SENTENCE_END.split(before)[-1]} , {_SENTENCE_END.split(behind)[0]}"


def _folded(text: str) -> str:
    return fold(normalise(text))


def _words(folded: str) -> list[Item]:
    return parse_message(folded, blank_addresses(folded)).items


def _is_without(words: list[Item], negation: Item) -> bool:
    """Whether a negation says that no code or password is needed."""
    after = next((item.kind for item in words if item.start >= negation.end), None)
    return after in (Kind.CODE, Kind.ONE_TIME_CODE)
