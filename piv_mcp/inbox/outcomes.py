"""What the API's answers tell of things in progress: the word for their state, and the event once one has ended.

An event is the webhook's as far as the API shows its fields. What a word means that the reference does not have is
never guessed: such a thing is still in progress.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from piv_mcp.api import events as api
from piv_mcp.api.domains import Domain, QueueEntry
from piv_mcp.api.events import EventType, RestoredNumber
from piv_mcp.api.models import Model
from piv_mcp.api.numbers import Number, Sms
from piv_mcp.api.proxies import ProxyOrder
from piv_mcp.api.whites import White
from piv_mcp.store.pending import Pending

DONE = frozenset({"completed", "complete", "done", "success", "succeeded", "finished", "active", "registered"})
FAILED = frozenset({"failed", "failure", "error", "cancelled", "canceled", "rejected", "refunded"})
"""How a queue entry or a domain has ended. The reference shows `completed` and `active` alone."""

UNDER_WAY = frozenset({"purchasing", "pending", "queued", "processing", "registering"})
"""A domain that is being registered. The reference shows `purchasing`."""

LAST = frozenset(
    {"delivered", "undelivered", "undeliverable", "failed", "rejected", "expired", "canceled", "cancelled"}
)
"""The words for a message that has reached its end. The reference shows delivered, and names failed."""

BEGUN = frozenset({"queued", "pending", "processing", "accepted", "scheduled", "sending"})
"""Those of a message that is certainly still to be sent: a carrier may never report on one that was sent."""

RESTORING = "pending"
"""How the words begin that a number has while it is being restored, and maybe before."""

SHOWN_OF_RESTORED = {"piv_num_id", "phone_number", "country_code", "status"}
"""What is kept of a restored number while others of its batch are not."""

RESTORE_PATIENCE = 600.0
"""A number that was never seen being restored, and is still expired so many seconds after, was not restored."""

MISSING_SECONDS = 60.0
"""What is missing for less may have been left out by one answer."""

PROXY_LEAD, DOMAIN_LEAD = timedelta(days=3), timedelta(days=7)
"""So long before the expiry its webhook comes (reference: Webhooks)."""


@dataclass(frozen=True, slots=True)
class Happening:
    """An event that asking has found."""

    type: EventType
    data: dict[str, Any]
    at: float | None = None
    """When, on piv.day's clock, if that is known (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the API showed of a thing. `happenings` are the events that this makes; `facts` replaces what was known."""

    state: str
    """Empty if the API showed none."""
    happenings: Sequence[Happening] = ()
    has_ended: bool = False
    facts: Mapping[str, Any] | None = None


def happening(type_: EventType, **fields: object) -> Happening:
    """The event with those of these fields that are known."""
    model: type[Model] = api.EVENTS[type_]
    known = {name: value for name, value in fields.items() if value is not None}
    return Happening(type_, model.model_validate(known).model_dump(mode="json", exclude_unset=True))


# --- sites


def of_site(site: White) -> Told:
    state = site.state if site.state != "unknown" else f"{site.status}, a status that the reference does not have"
    match site.state:
        case "done":
            ended = happening(
                "white.completed", job_id=site.id, name=site.name, tier_key=site.tier_key, country=site.country
            )
        case "failed":
            ended = happening("white.failed", job_id=site.id, name=site.name)
        case _:
            return Told(state)
    return Told(state, (ended,), has_ended=True)


# --- domains


def of_domain(domain: Domain) -> Told:
    """What the list tells of a registration."""
    state = domain.status or "unknown"
    if state.casefold() in DONE:
        return Told(state, (_registered(domain),), has_ended=True)
    if state.casefold() in FAILED:
        failed = happening("domain.failed", domain_id=domain.id, domain_name=domain.domain_name)
        return Told(state, (failed,), has_ended=True)
    return Told(state)


def of_queue(row: Pending, entry: QueueEntry) -> Told:
    """What its queue entry tells of a registration or a renewal."""
    state, domain = entry.status or "unknown", entry.domain
    known_id = row.known.get("domain_id") or (row.id if row.id != row.known.get("queue_id") else None)
    domain_id = domain.id if domain is not None else known_id
    name = entry.domain_name or row.known.get("domain_name")
    if state.casefold() in FAILED:
        failed = happening("domain.failed", domain_id=domain_id or "", domain_name=name, error=entry.error)
        return Told(state, (failed,), has_ended=True)
    if state.casefold() not in DONE:
        return Told(state)
    if row.kind == "registration":
        done = _registered(domain) if domain is not None else None
        done = done or happening("domain.registered", domain_id=domain_id or "", domain_name=name)
    else:
        shown = domain or Domain(id=domain_id or "")
        done = happening(
            "domain.renewed",
            domain_id=domain_id or "",
            domain_name=name,
            expires_at=shown.expires_at,
            auto_renew=shown.auto_renew,
        )
    return Told(state, (done,), has_ended=True)


def of_missing_registration(row: Pending, now: float) -> Told:
    """A domain that is not there was not registered, unless the next look finds it."""
    missing_since = row.known.get("missing_since", now)
    if now - missing_since < MISSING_SECONDS:
        return Told("not listed", facts={**row.known, "missing_since": missing_since})
    failed = happening("domain.failed", domain_id=row.id, domain_name=row.known.get("domain_name"))
    return Told("no longer listed", (failed,), has_ended=True)


def _registered(domain: Domain) -> Happening:
    return happening(
        "domain.registered",
        domain_id=domain.id,
        domain_name=domain.domain_name,
        registered_at=domain.registered_at,
        expires_at=domain.expires_at,
        cloudflare_enabled=domain.cloudflare_enabled,
    )


# --- restores


def numbers_of(restore: Pending) -> list[str]:
    return restore.known.get("numbers") or restore.id.split(",")


def of_restore(row: Pending, numbers: Mapping[str, Number], *, now: float) -> Told:
    """What the numbers tell of their restore. One event tells of all, once as many have ended as were queued. The API
    shows no refund."""
    known = row.known
    wanted = numbers_of(row)
    seen = {*known.get("seen", ())} | {id_ for id_, number in numbers.items() if is_restoring(number)}
    restored = [numbers[id_] for id_ in wanted if id_ in numbers and numbers[id_].status == "active"]
    is_late = now - row.since >= RESTORE_PATIENCE
    failed = [
        numbers[id_]
        for id_ in wanted
        if id_ in numbers and numbers[id_].status == "expired" and (id_ in seen or is_late)
    ]
    state = f"{len(restored)} of {len(wanted)} restored" if len(wanted) > 1 else _status(numbers.get(wanted[0]))
    if known.get("is_found") and failed:  # nobody knows whether it was being restored, or could have been
        return Told(state, has_ended=True)
    shown = {number.piv_num_id: number.model_dump(mode="json", include=SHOWN_OF_RESTORED) for number in restored}
    if not (restored or failed) or len(restored) + len(failed) < min(known.get("queued", len(wanted)), len(wanted)):
        return Told(state, facts={**known, "seen": sorted(seen), "restored": shown})
    ended = happening(
        "number.restore_completed",
        restored=[_row(number) for number in restored],
        failed=[_row(number) for number in failed],
        total_restored=len(restored),
        total_failed=len(failed),
    )
    return Told(state, (ended,), has_ended=True)


def is_restoring(number: Number) -> bool:
    return (number.status or "").startswith(RESTORING)


def _status(number: Number | None) -> str:
    return (number and number.status) or "unknown"


def _row(number: Number) -> RestoredNumber:
    return RestoredNumber(piv_num_id=number.piv_num_id, phone_number=number.phone_number, country=number.country_code)


# --- messages


def of_message(row: Pending, sms: Sms) -> Told:
    """What the history tells of a message that the number sends: an event for each change of its status."""
    old, new = row.state or row.known.get("status"), sms.status or ""
    is_over = new.casefold() in LAST
    is_first = not old and new.casefold() in BEGUN  # its status was never told, and has not changed
    if not new or is_first or (old or "").casefold() == new.casefold():
        return Told(new or old or "", has_ended=is_over)
    changed = happening("sms.status_updated", piv_num_id=row.subject, message_id=sms.id, old_status=old, new_status=new)
    return Told(new, (changed,), has_ended=is_over)


def of_verification(row: Pending, sms: Sms | None) -> Told:
    """`sms` is the message of the history that the verification left there."""
    if sms is None:
        return Told("begun")
    done = happening(
        "verify.completed",
        piv_num_id=row.id,
        captured_phone=sms.to_number if sms.is_outbound else sms.from_number,
        captured_message=sms.message_body,
        sms_message_id=sms.id or None,
        sms_status=sms.status,
    )
    return Told("its message is in the SMS history", (done,), has_ended=True)


def is_googles(sms: Sms) -> bool:
    """Whether a message that came is of a verification by Google."""
    return any("google" in (text or "").casefold() for text in (sms.from_number, sms.message_body))


# --- expiry


def of_order(order: ProxyOrder, now: datetime) -> Happening | None:
    if (at := _expires_soon_since(order.status, order.expires_at, PROXY_LEAD, now)) is None:
        return None
    soon = happening(
        "proxy.expires_soon",
        order_id=order.id,
        country=order.country,
        quantity=order.quantity,
        expires_at=order.expires_at,
    )
    return replace(soon, at=at)


def of_expiring(domain: Domain, now: datetime) -> Happening | None:
    if (at := _expires_soon_since(domain.status, domain.expires_at, DOMAIN_LEAD, now)) is None:
        return None
    soon = happening(
        "domain.expires_soon",
        domain_id=domain.id,
        domain_name=domain.domain_name,
        expires_at=domain.expires_at,
        auto_renew=domain.auto_renew,
    )
    return replace(soon, at=at)


def _expires_soon_since(
    status: str | None, expires_at: datetime | None, lead: timedelta, now: datetime
) -> float | None:
    if (status or "").casefold() != "active" or expires_at is None or not now < expires_at <= now + lead:
        return None
    return (expires_at - lead).timestamp()
