"""What a person reads, as messages: an id and values, and the English text of each id, which catalogs translate.

The journal keeps ids and values, so that a question can be read in another language than it was put in.
"""

import json
import re
import string
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, model_validator

from piv_mcp.text.hosts import display
from piv_mcp.text.language import PLAIN, Language

ENGLISH: Mapping[str, str] = {
    "text": "{text}",  # of a journal from before messages had ids; never translated
    # --- actions
    "purchase_number": "Rent a number in {country} for {months:months}, auto-renewal {auto_renew:switch}",
    "renew_number": "Renew {number:named} for {months:months}",
    "restore_numbers": "Restore {numbers:named}",
    "restore_some_numbers": "Restore {numbers:named}; not on the account, so piv.day will skip them: {missing:listed}",
    "send_sms": "Send {segments} SMS ({encoding}) from {number:named} to {recipient}",
    "start_google_verification": "Start a Google verification on {number:named}",
    "number_auto_renewal_on": "Turn auto-renewal on for {number:named}",
    "number_auto_renewal_off": "Turn auto-renewal off for {number:named}; it then expires on {expires:day}",
    "purchase_proxies": "Buy {quantity} proxies on {server:named} ({country}) for {months:months}",
    "renew_proxy_order": "Renew proxy order {order} ({quantity} in {country}) for {months:months}",
    "restore_proxy_order": "Restore proxy order {order} ({quantity} in {country}) for 1 month",
    "register_domain": "Register {domain:host} for {years:years}, auto-renewal {auto_renew:switch}",
    "renew_domain": "Renew {domain:host} for {years:years}",
    "domain_auto_renewal_on": "Turn auto-renewal on for {domain:host}",
    "domain_auto_renewal_off": "Turn auto-renewal off for {domain:host}; it then expires on {expires:day}",
    "update_dns_record": "Overwrite a DNS record of {domain:host}",
    "delete_dns_record": "Delete a DNS record of {domain:host}",
    "delete_unlisted_record": "Delete a DNS record of {domain:host}, which is not in the domain's list of records",
    "update_unlisted_record": "Overwrite a DNS record of {domain:host}, which is not in the domain's list of records",
    "enable_cloudflare": "Put {domain:host} behind Cloudflare; the API cannot undo this",
    "set_nameservers": "Replace the nameservers of {domain:host}",
    "create_white": "Generate the site {name:quoted} ({tier})",
    "configure_white": "Set these contact details of the site {site:named}; whether the others are kept is not "
    "documented",
    # --- reasons of a price
    "country_unlisted": "the country has no listed price",
    "restore_unlisted": "restoring costs more than a month's rent; how much more is not listed",
    "sms_unlisted": "the country has no listed SMS price",
    "sms_segments": "{segments} segments of {price:money}; the price of long texts is not documented",
    "verification_unlisted": "verifications have no listed price",
    "server_unlisted": "the server has no listed price",
    "order_unlisted": "the order shows no price",
    "proxy_restore_unlisted": "restoring has no listed price",
    "price_of_a_month": "the API does not say for how long the listed price is; calculated as the price of a month",
    "domain_unlisted": "no listed price",
    "first_year_and_renewals": "the API does not list the price of several years: calculated as the first year plus "
    "renewals for the others",
    "several_years": "the API does not list the price of several years",
    "site_unlisted": "no listed price",
    "premium_unlisted": "no price is listed for premium quality",
    "languages_unlisted": "no price is listed for further languages",
    "premium_and_languages_unlisted": "no price is listed for premium quality and further languages",
    "extras_unlisted": "no price is listed for {what}",  # of a journal from before these three
    # --- why an approved action was not sent
    "dearer": "the price is now {price:priced}",
    "dearer_then": "the price is now {price:priced}, then {later:message}",
    "price_unreadable": "the price can no longer be read ({why})",
    "target_changed": "what it would change is no longer what was shown",
    # --- later charges
    "every_month": "{amount:price} every month, charged 24 hours before expiry, until auto-renewal is turned off",
    "every_year": "{amount:price} every year, until auto-renewal is turned off",
    # --- notes
    "not_charged_before": "The same action was sent before; the account did not show it up to {when} ({entry})",
    "done_before": "The same action was carried out at {when} ({entry})",
    "charged_before": "The same action was carried out at {when} for {amount:money} ({entry})",
    "unknown_before": "An action of this kind on the same target was sent at {when} and its outcome is unknown "
    "({entry}): {action:message}. Approve only if you want both",
    "unknown_elsewhere": "An action of this kind on the same target, asked for by somebody else, was sent before, and "
    "its outcome is unknown. Approve only if you want both",
    "not_shown_elsewhere": "An action of this kind on the same target, asked for by somebody else, was sent before, "
    "and the account did not show it. It may still take effect",
    "overcharged_elsewhere": "For an action of this kind piv.day charged more than quoted, or an unknown amount",
    "not_shown_before": "An action of this kind on the same target was sent at {when}, and the account did not show it "
    "({entry}): {action:message}. It may still take effect",
    "over_action_budget": "The budget approves at most {limit:money} for one action",
    "over_agent_budget": "The budget of this agent is {limit:money} in 24 hours, and {left:money} of it is left",
    "over_area_budget": "The budget for {area:area} is {limit:money} in 24 hours, and {left:money} of it is left",
    "over_day_budget": "The budget is {limit:money} in 24 hours, and {left:money} of it is left",
    "over_shared_budget": "Of the budget that all agents share, {left:money} is left",
    "overcharged_before": "For an action of this kind piv.day charged more than quoted, or an unknown amount ({entry})",
}


class Message(BaseModel):
    """One message. `values` are JSON values; amounts are decimal text."""

    model_config = ConfigDict(frozen=True)

    id: str
    values: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"id": "text", "values": {"text": value}} if isinstance(value, str) else value

    @property
    def text(self) -> str:
        """In English."""
        return self.in_language(PLAIN)

    def in_language(self, language: Language) -> str:
        return _Formatter(language).vformat(language.gettext(ENGLISH[self.id]), (), self.values)

    def line_in(self, language: Language) -> str:
        """On one line: a name with line breaks cannot look like another line of a question."""
        return " ".join(self.in_language(language).split())


def message(id: str, /, **values: Any) -> Message:
    """The message `id`. Raises `KeyError` for an unknown id."""
    ENGLISH[id]
    return Message(id=id, values={name: _json(value) for name, value in values.items()})


def named(id: str, name: str | None) -> dict[str, str]:
    """A value of the form `named`: an object of the account and the name that somebody gave it."""
    return {"id": id, "name": name} if name else {"id": id}


def day(moment: datetime | None) -> str | None:
    """A date as a value."""
    return f"{moment:%Y-%m-%d}" if moment else None


def dollars(amount: Decimal | str | None) -> str:
    return "unknown" if amount is None else PLAIN.money(amount)


def priced(price: Mapping[str, Any], language: Language) -> str:
    """The fields of a `Price` in words."""
    _, reason = language.gettext, price.get("reason")
    detail = None if reason is None else Message.model_validate(reason).in_language(language)
    if price["amount"] is not None:
        words, certainty = language.money(price["amount"]), _("exact")
        if price["certainty"] != "exact":
            certainty = _("estimate")
        detail = certainty if detail is None else _("{certainty}; {reason}", certainty=certainty, reason=detail)
    elif price.get("floor") is not None:
        words = _("unknown, at least {floor}", floor=language.money(price["floor"]))
    else:
        words = _("unknown")
    return words if detail is None else _("{price} ({detail})", price=words, detail=detail)


def label(name: str, language: Language) -> str:
    """The name of an argument, which in English is the API's own."""
    return language.pgettext("argument", name)


def literal(value: object, language: Language = PLAIN) -> str:
    """An argument in full. Texts are quoted, so that none of them can look like the question's own words; host names
    that are not what they look like are shown in both forms."""
    if isinstance(value, bool):
        return language.gettext("yes") if value else language.gettext("no")
    if isinstance(value, str):
        return quoted(value) + "".join(f" [{host}]" for host in _disguised(value))
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return ", ".join(f"{label(name, language)}: {literal(item, language)}" for name, item in fields.items())
    if isinstance(value, list | tuple):
        return "; ".join(literal(item, language) for item in cast("list[object]", value))
    return str(value)


_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)+")


def _disguised(text: str) -> list[str]:
    """The host names in a text that are not what they look like, in both forms."""
    shown = {host: display(host) for host in _HOST.findall(text)}
    return [both for host, both in shown.items() if both != host]


def quoted(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)


def _named(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_named(item) for item in cast("list[Any]", value))
    return f"{value['id']} ({quoted(value['name'])})" if "name" in value else str(value["id"])


def _forms(language: Language) -> Mapping[str, Callable[[Any], str]]:
    """How values are written, by what stands after the colon of a text's `{name:form}`."""
    return {
        "months": lambda count: language.ngettext("{count} month", "{count} months", count),
        "years": lambda count: language.ngettext("{count} year", "{count} years", count),
        "switch": lambda on: language.pgettext("switch", "on") if on else language.pgettext("switch", "off"),
        "day": lambda text: language.day(date.fromisoformat(text)) if text else language.gettext("its expiry date"),
        "money": lambda amount: language.gettext("unknown") if amount is None else language.money(amount),
        "price": lambda amount: language.gettext("an unlisted price") if amount is None else language.money(amount),
        "named": _named,
        "quoted": quoted,
        "host": lambda name: display(str(name)),
        "priced": lambda price: priced(price, language),
        "listed": lambda items: ", ".join(map(str, items)),
        "area": lambda name: language.pgettext("area", name),
        "message": lambda value: Message.model_validate(value).line_in(language),
    }


class _Formatter(string.Formatter):
    def __init__(self, language: Language) -> None:
        self._forms = _forms(language)

    def format_field(self, value: Any, format_spec: str) -> str:
        return self._forms[format_spec](value) if format_spec else str(value)


def _json(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value
