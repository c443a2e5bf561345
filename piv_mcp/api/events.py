"""The events that piv.day posts to a webhook: reference section "Webhooks".

An event of an unknown type or shape is kept unchanged and gets a `problem`: to lose an SMS code because a field
was renamed would be worse than to store a malformed event. The reference gives events no id and no signature.
`sms.received` has neither the sender nor a message id, so the same message in the SMS history can be matched only
by number, text and time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast, get_args

from pydantic import Field, TypeAdapter, ValidationError

from piv_mcp.api.models import Model, Money, UtcDatetime
from piv_mcp.api.text import as_object, parse_json
from piv_mcp.errors import MalformedEventError


class SmsReceived(Model):
    """`code` is piv.day's own guess at the code in `text`."""

    piv_num_id: str
    text: str | None = None
    code: str | None = None
    country: str | None = None
    received_at: UtcDatetime | None = None


class SmsStatusUpdated(Model):
    piv_num_id: str | None = None
    message_id: str
    old_status: str | None = None
    new_status: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class RestoredNumber(Model):
    """`refunded` is there for failed numbers only."""

    piv_num_id: str
    phone_number: str | None = None
    country: str | None = None
    refunded: Money | None = None


class NumberRestoreCompleted(Model):
    restored: list[RestoredNumber] = Field(default_factory=list[RestoredNumber])
    failed: list[RestoredNumber] = Field(default_factory=list[RestoredNumber])
    total_restored: int | None = None
    total_failed: int | None = None
    total_refunded: Money | None = None


class VerifyCompleted(Model):
    """The reference contradicts itself. Its prose says that Google sent `captured_message`, so that no code need be
    fetched; `sms_sent` and `queued` in its example say that the number sent it to `captured_phone`. So the message is
    shown, but no code is extracted from it."""

    task_id: str | None = None
    piv_num_id: str
    status: str | None = None
    captured_phone: str | None = None
    captured_message: str | None = None
    sms_message_id: str | None = None
    sms_status: str | None = None


class VerifyFailed(Model):
    task_id: str | None = None
    piv_num_id: str
    status: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class ProxyExpiresSoon(Model):
    order_id: str
    country: str | None = None
    quantity: int | None = None
    expires_at: UtcDatetime | None = None


class DomainRegistered(Model):
    domain_id: str
    domain_name: str | None = None
    registered_at: UtcDatetime | None = None
    expires_at: UtcDatetime | None = None
    cloudflare_enabled: bool | None = None


class DomainFailed(Model):
    domain_id: str
    domain_name: str | None = None
    error: str | None = None


class DomainExpiresSoon(Model):
    domain_id: str
    domain_name: str | None = None
    expires_at: UtcDatetime | None = None
    auto_renew: bool | None = None


class DomainRenewed(Model):
    """Our own: piv.day has no webhook of it. `expires_at` is the new date."""

    domain_id: str
    domain_name: str | None = None
    expires_at: UtcDatetime | None = None
    auto_renew: bool | None = None


class WhiteCompleted(Model):
    """`job_id` is the white's id. The `tier_key` of the reference's example, `t1`, is not one of the known tiers."""

    job_id: str
    name: str | None = None
    tier_key: str | None = None
    country: str | None = None


class WhiteFailed(Model):
    job_id: str
    name: str | None = None
    error: str | None = None


EventType = Literal[
    "sms.received",
    "sms.status_updated",
    "number.restore_completed",
    "verify.completed",
    "verify.failed",
    "proxy.expires_soon",
    "domain.registered",
    "domain.failed",
    "domain.expires_soon",
    "domain.renewed",
    "white.completed",
    "white.failed",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)

EVENTS: dict[str, type[Model]] = {
    "sms.received": SmsReceived,
    "sms.status_updated": SmsStatusUpdated,
    "number.restore_completed": NumberRestoreCompleted,
    "verify.completed": VerifyCompleted,
    "verify.failed": VerifyFailed,
    "proxy.expires_soon": ProxyExpiresSoon,
    "domain.registered": DomainRegistered,
    "domain.failed": DomainFailed,
    "domain.expires_soon": DomainExpiresSoon,
    "domain.renewed": DomainRenewed,
    "white.completed": WhiteCompleted,
    "white.failed": WhiteFailed,
}
"""Every event type of the reference, and our own, with the model of its `data`."""

OURS: frozenset[EventType] = frozenset({"domain.renewed"})
"""What only asking finds."""


@dataclass(frozen=True)
class WebhookEvent:
    """An event as piv.day posted it, of a known type or not.

    `data` is the parsed `data` block of a known event, else `None`. `problem` says what differs from the
    reference, also for a known event whose time is invalid. `raw` is the whole body, its fractions as `Decimal`.
    """

    event_type: str
    timestamp: datetime | None
    data: Model | None
    raw: dict[str, Any] = field(repr=False)
    problem: str | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The `data` block as it was received; empty where it is not an object."""
        return as_object(self.raw.get("data")) or {}


def piv_num_ids(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of all numbers in an event's `data`, in order of appearance, whatever the event's type."""
    rows = [data, *_rows(data.get("restored")), *_rows(data.get("failed"))]
    ids = [row.get("piv_num_id") for row in rows]
    return tuple(dict.fromkeys(str(id_) for id_ in ids if isinstance(id_, str | int) and id_ != ""))


def parse_event(body: bytes | dict[str, Any]) -> WebhookEvent:
    """The event in a webhook's body. Raises `MalformedEventError` only if the body is not a JSON object."""
    try:
        fields = as_object(parse_json(body, cut_deep=True) if isinstance(body, bytes) else body)
    except ValueError as error:
        raise MalformedEventError(f"The webhook's body is {error}") from None
    if fields is None:
        raise MalformedEventError("The webhook's body is JSON, but not an object")
    event_type = fields.get("event_type")
    timestamp = _time(fields.get("timestamp"))
    if not isinstance(event_type, str):
        return WebhookEvent("", timestamp, None, fields, "event_type is missing")
    model = EVENTS.get(event_type)
    if model is None or event_type in OURS:
        return WebhookEvent(event_type, timestamp, None, fields, "this event_type is not in the reference")
    try:
        data = model.model_validate(fields.get("data"))
    except ValidationError as error:
        return WebhookEvent(event_type, timestamp, None, fields, _problem(error))
    return WebhookEvent(event_type, timestamp, data, fields, None if timestamp else "timestamp is not a time")


_TIME: TypeAdapter[datetime] = TypeAdapter(UtcDatetime)


def _time(value: object) -> datetime | None:
    try:
        return _TIME.validate_python(value)
    except ValidationError:
        return None


def _rows(value: object) -> list[Mapping[str, Any]]:
    rows = cast(list[object], value) if isinstance(value, list) else []
    return [row for row in map(as_object, rows) if row is not None]


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(['data', *map(str, first['loc'])])}: {first['msg']}"
