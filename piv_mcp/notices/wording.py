"""The texts of notices, in the person's language. What strangers have written is made visible, and marked as theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from piv_mcp.spending.quote import Quote, quote_of
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.journal import Entry
from piv_mcp.text.language import Language
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line, visible

MAX_MESSAGE = 600
"""Characters of a message."""


@dataclass(frozen=True, slots=True)
class Words:
    """A notice as a person reads it."""

    title: str
    body: str


def approval(entry: Entry, language: Language, console: str | None) -> Words:
    """An action waits for a decision. `console` is the address of the console, if there is one."""
    _, quote = language.gettext, quote_of(entry)
    price = one_line(quote.price.in_language(language), 300)
    rows = [_action(quote, language), _("Price: {price}", price=price)]
    if quote.price.recurring is not None:
        rows.append(_("Then: {charges}", charges=quote.price.recurring.in_language(language)))
    if quote.agent is not None:
        rows.append(_("Asked by: agent {name}", name=one_line(quote.agent)))
    rows.append(_("It can be decided until {moment}.", moment=language.moment(utc(entry.expires_at))))
    if console is not None:
        rows.append(_("Decide in the console: {address}", address=f"{console.rstrip('/')}/approvals"))
    else:
        rows.append(_("Decide on the page that opened, or in a terminal with: piv-mcp approvals"))
    return Words(_("An approval waits: {price}", price=price), "\n".join(rows))


def charge(entry: Entry, language: Language) -> Words:
    """Something was charged, or its outcome is unknown."""
    _, quote = language.gettext, quote_of(entry)
    if entry.state == "unknown":
        body = _("The answer of piv.day was lost. It is not sent again, and piv-mcp looks for what became of it.")
        return Words(_("An outcome is unknown"), f"{_action(quote, language)}\n{body}")
    amount = None if entry.charged is None else language.money(Decimal(entry.charged))
    title = _("Charged: {amount}", amount=amount) if amount is not None else _("Charged, the amount is not known")
    return Words(title, f"{_action(quote, language)}\n{_('Journal: {entry}', entry=entry.id)}")


def expiry(told: Mapping[str, Any], language: Language) -> Words:
    """Something expires soon."""
    _ = language.gettext
    name, moment = one_line(str(told["name"]), 200), language.moment(utc(float(told["ends_at"])))
    what = {
        "number": _("The number {name} expires on {moment}.", name=name, moment=moment),
        "proxy order": _("The proxy order {name} expires on {moment}.", name=name, moment=moment),
        "domain": _("The domain {name} expires on {moment}.", name=name, moment=moment),
    }[str(told["what"])]
    renews = _("It renews by itself.") if told.get("renews") else _("It does not renew by itself.")
    return Words(_("Something expires soon"), f"{what}\n{renews}")


def balance(told: Mapping[str, Any], language: Language) -> Words:
    """The balance has fallen below what the person has set."""
    _ = language.gettext
    body = _(
        "The balance of the piv.day account is {balance}, which is less than {least}.",
        balance=language.money(Decimal(told["balance"])),
        least=language.money(Decimal(told["least"])),
    )
    return Words(_("The balance is low"), body)


def webhook(told: Mapping[str, Any], language: Language) -> Words:
    """A webhook secret is being guessed."""
    _ = language.gettext
    body = language.ngettext(
        "{count} request with a wrong secret came to the webhook address.",
        "{count} requests with a wrong secret came to the webhook address.",
        int(told["count"]),
    )
    return Words(_("Somebody guesses the webhook secret"), body)


def code(event: StoredEvent, language: Language) -> Words:
    """A message with a code, or with a link in place of one, has come."""
    _ = language.gettext
    title = _("Code: {code}", code=one_line(event.sign_in or "", 300))
    return Words(title, _about(event, language))


def message(event: StoredEvent, language: Language) -> Words:
    """A message has come."""
    _ = language.gettext
    text = visible(event.text or "", MAX_MESSAGE)
    return Words(_("A message has come"), f"{_about(event, language)}\n{_('Text: {text}', text=text)}")


def of_account(words: Words, user_id: str, language: Language) -> Words:
    """The same, with the account that it is about."""
    account = language.gettext("Account: {user}", user=one_line(user_id, 200))
    return Words(words.title, f"{words.body}\n{account}")


def test(language: Language) -> Words:
    """What `piv-mcp notify test` sends."""
    _ = language.gettext
    return Words(_("A test of piv-mcp"), _("Notices of piv-mcp come to this address."))


def _action(quote: Quote, language: Language) -> str:
    line = quote.headline.line_in(language)
    return language.gettext("Action: {action}", action=one_line(line, len(line)))


def _about(event: StoredEvent, language: Language) -> str:
    _ = language.gettext
    rows = [
        _("Number: {number}", number=one_line(event.subject or "")),
        _("From: {sender}", sender=one_line(event.sender or "")) if event.sender else "",
        "" if event.confirmed else _("Not confirmed yet: only a webhook has told it."),
    ]
    return "\n".join(filter(None, rows))
