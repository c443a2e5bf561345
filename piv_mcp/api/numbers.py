"""Numbers and their SMS: reference section "号码"."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from piv_mcp.api.endpoint import Endpoint, beside, page_of, under
from piv_mcp.api.group import EndpointGroup
from piv_mcp.api.models import (
    Acknowledged,
    CountryCode,
    Model,
    Money,
    NonEmpty,
    Offset,
    Page,
    Request,
    SmallLimit,
    UtcDatetime,
)
from piv_mcp.errors import REFUNDED

NumberStatus = Literal["active", "expired", "pending_restore"]
"""The statuses that `list` can filter by; answers may hold others."""

Months = Annotated[int, Field(ge=1)]
"""The reference gives no maximum."""


class Country(Model):
    """Prices include the plan's discount, except `base_price`. Numbers are rented by the month."""

    country_code: str
    price_per_month: Money | None = None
    base_price: Money | None = Field(default=None, description="Without the plan's discount: not what is charged.")
    can_send_sms: bool | None = None
    can_receive_sms: bool | None = None
    sms_send_price: Money | None = None


class Number(Model):
    """A number as listed. Answers to purchases and updates hold some of the fields."""

    piv_num_id: str
    phone_number: str | None = None
    country_code: str | None = None
    status: str | None = None
    created_at: UtcDatetime | None = None
    expires_at: UtcDatetime | None = None
    auto_renew: bool | None = None
    custom_name: str | None = None
    purchased_at: UtcDatetime | None = None
    next_renewal_date: UtcDatetime | None = None
    tags: list[str] = Field(default_factory=list[str])
    can_send_sms: bool | None = None
    can_receive_sms: bool | None = None


class PurchaseNumber(Request):
    country_code: CountryCode
    duration_months: Months
    auto_renew: bool
    custom_name: str | None = None


class PurchasedNumbers(Model):
    cost: Money | None = None
    numbers: list[Number]


class RenewNumber(Request):
    duration_months: Months


class RenewedNumber(Model):
    piv_num_id: str | None = None
    phone_number: str | None = None
    old_expires_at: UtcDatetime | None = None
    new_expires_at: UtcDatetime | None = None
    cost: Money | None = None


class UpdateNumber(Request):
    custom_name: str


class SetNumberAutoRenewal(Request):
    auto_renew: bool


class NumberAutoRenewal(Model):
    piv_num_id: str | None = None
    phone_number: str | None = None
    auto_renew: bool | None = None


class RestoreNumbers(Request):
    piv_num_ids: Annotated[list[NonEmpty], Field(min_length=1)]


class RestoringNumber(Model):
    piv_num_id: str
    phone_number: str | None = None
    status: str | None = None


class RestoredNumbers(Model):
    """How many numbers were queued. `numbers` may list fewer than `queued`, and skipped ids are not listed. The
    event `number.restore_completed` gives the outcome for each number."""

    queued: int | None = None
    skipped: int | None = None
    total_charged: Money | None = None
    numbers: list[RestoringNumber] = Field(default_factory=list[RestoringNumber])


OUTBOUND = ("out", "sent", "mt")
"""How the word for outbound begins: the reference has "outbound" alone. Any other direction is inbound: a message in
doubt must not be missed."""

INBOUND = frozenset({"inbound", "in", "incoming", "received"})
"""The words for inbound; the reference has the first alone."""

MessageText = Annotated[str, BeforeValidator(lambda sent: str(sent).lower() if isinstance(sent, bool) else sent)]
"""The text of a message, also where it was sent as a number or a truth value."""


class Sms(Model):
    """A message of the SMS history. Outbound messages, too, have `received_at` as their only time.

    A message without an id is kept for its text, with `id` empty.
    """

    id: str = ""
    from_number: str | None = None
    to_number: str | None = None
    message_body: MessageText | None = None
    direction: str | None = None
    status: str | None = None
    received_at: UtcDatetime | None = None

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if not (self.id or self.message_body):
            raise ValueError("neither an id nor a text")
        return self

    @property
    def is_outbound(self) -> bool:
        return (self.direction or "").strip().casefold().startswith(OUTBOUND)

    @property
    def lacks_text(self) -> bool:
        """Whether the message was received, and its text did not come or is none."""
        return self.message_body is None and not self.is_outbound


def with_own_as_outbound(messages: list[Sms]) -> list[Sms]:
    """Messages of one number, those of an unknown direction as outbound if the number itself is their sender. Which it
    is, the messages of a known direction tell."""
    inbound = [sms for sms in messages if (sms.direction or "").strip().casefold() in INBOUND]
    own = {sms.to_number for sms in inbound} | {sms.from_number for sms in messages if sms.is_outbound}
    return [
        sms.model_copy(update={"direction": OUTBOUND[0]})
        if sms.from_number and sms.from_number in own and sms not in inbound
        else sms
        for sms in messages
    ]


class SendSms(Request):
    to_number: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{1,14}$")]
    """E.164."""
    message_body: NonEmpty
    """The reference gives no maximum length."""


class SentSms(Model):
    """The answer does not include the cost."""

    message_id: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    message_body: str | None = None
    status: str | None = None
    created_at: UtcDatetime | None = None


class StartVerification(Request):
    gv_url: Annotated[str, Field(pattern=r"^https?://\S+$")]


class NumbersQuery(Request):
    limit: SmallLimit | None = None
    offset: Offset | None = None
    country: CountryCode | None = None
    status: NumberStatus | None = None
    search: str | None = None


class SmsQuery(Request):
    limit: SmallLimit | None = None
    offset: Offset | None = None


COUNTRIES = Endpoint("GET", "/numbers/countries", list[Country], under("countries"))
LIST = Endpoint("GET", "/numbers", Page[Number], page_of("numbers"))
GET = Endpoint("GET", "/numbers/{piv_num_id}", Number, under("number"))
PURCHASE = Endpoint("POST", "/numbers/purchase", PurchasedNumbers, beside)
RENEW = Endpoint("POST", "/numbers/{piv_num_id}/renew", RenewedNumber)
UPDATE = Endpoint("PATCH", "/numbers/{piv_num_id}", Number, under("number"))
SET_AUTO_RENEWAL = Endpoint("PATCH", "/numbers/{piv_num_id}/auto-renewal", NumberAutoRenewal)
RESTORE = Endpoint("POST", "/numbers/restore", RestoredNumbers, beside)
SMS = Endpoint("GET", "/numbers/{piv_num_id}/sms", Page[Sms], page_of("messages"), confidential=True)
SEND_SMS = Endpoint("POST", "/numbers/{piv_num_id}/sms/send", SentSms, confidential=True)
VERIFY = Endpoint(
    "POST",
    "/numbers/{piv_num_id}/verify",
    Acknowledged,
    beside,
    refunds=REFUNDED,
    confidential=True,
)


class NumbersApi(EndpointGroup):
    async def countries(self) -> list[Country]:
        """Countries that can be rented, with prices."""
        return await self._call(COUNTRIES)

    async def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        country: str | None = None,
        status: NumberStatus | None = None,
        search: str | None = None,
    ) -> Page[Number]:
        """Numbers of the account. `limit` 1 to 200, by default 50; the order is not documented."""
        return await self._call(
            LIST,
            query=NumbersQuery,
            limit=limit,
            offset=offset,
            country=country,
            status=status,
            search=search,
        )

    async def get(self, piv_num_id: str) -> Number:
        """One number. Raises `NotFoundError`."""
        return await self._call(GET, piv_num_id)

    async def purchase(self, request: PurchaseNumber) -> PurchasedNumbers:
        """Rent a number; charged at once. Raises `UnavailableError`, `InsufficientBalanceError`."""
        return await self._call(PURCHASE, body=request)

    async def renew(self, piv_num_id: str, request: RenewNumber) -> RenewedNumber:
        """Add months to an active number; charged at once. Raises `InsufficientBalanceError`."""
        return await self._call(RENEW, piv_num_id, body=request)

    async def update(self, piv_num_id: str, request: UpdateNumber) -> Number:
        """Give the number a custom name."""
        return await self._call(UPDATE, piv_num_id, body=request)

    async def set_auto_renewal(self, piv_num_id: str, request: SetNumberAutoRenewal) -> NumberAutoRenewal:
        """Turn automatic renewal on or off. When on, the charge comes 24 hours before the expiry."""
        return await self._call(SET_AUTO_RENEWAL, piv_num_id, body=request)

    async def restore(self, request: RestoreNumbers) -> RestoredNumbers:
        """Restore numbers within 7 days of their expiry; charged at once, refunded for those that fail.

        Raises `NotFoundError` if none can be restored, `InsufficientBalanceError`.
        """
        return await self._call(RESTORE, body=request)

    async def sms(self, piv_num_id: str, *, limit: int | None = None, offset: int | None = None) -> Page[Sms]:
        """Messages in both directions; by the reference, newest first. `limit` 1 to 200, by default 50."""
        return await self._call(SMS, piv_num_id, query=SmsQuery, limit=limit, offset=offset)

    async def send_sms(self, piv_num_id: str, request: SendSms) -> SentSms:
        """Send a message; charged at once. Raises `NumberStateError`, `InsufficientBalanceError`."""
        return await self._call(SEND_SMS, piv_num_id, body=request)

    async def verify(self, piv_num_id: str, request: StartVerification) -> Acknowledged:
        """Start a Google QR verification; charged at once. The price is not documented.

        Only an event tells the outcome. Raises `NumberStateError`, `InsufficientBalanceError`, and `ServerError`
        if the charge was refunded.
        """
        return await self._call(VERIFY, piv_num_id, body=request)
