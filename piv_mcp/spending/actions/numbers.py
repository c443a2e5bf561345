"""Actions on numbers: rent, renew, send an SMS, start a Google verification, set auto-renewal."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

from piv_mcp.api import numbers as api
from piv_mcp.api.models import SMALL_PAGE
from piv_mcp.api.numbers import Country, Number
from piv_mcp.api.paging import complete_rows
from piv_mcp.errors import NumberStateError, UnavailableError
from piv_mcp.spending.actions.base import (
    Action,
    Ambiguous,
    Done,
    FollowUp,
    JsonObject,
    OtherActions,
    Proposal,
    Sources,
    to_json,
    wait_for_event,
)
from piv_mcp.spending.actions.evidence import lasts
from piv_mcp.spending.actions.renewal import RenewalAction
from piv_mcp.spending.actions.sms_segments import sms_segments
from piv_mcp.spending.messages import Message, day, message, named
from piv_mcp.spending.quote import FREE, Price, listed, recurring
from piv_mcp.store.pending import Pending, pending
from piv_mcp.text import phones


class PurchaseNumberAction(Action):
    kind: ClassVar[str] = "purchase_number"
    area: ClassVar[str] = "numbers"
    request: api.PurchaseNumber

    @property
    def has_recurring_charges(self) -> bool:
        return self.request.auto_renew

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.request.country_code.casefold()})

    async def quote(self, sources: Sources) -> Proposal:
        request = self.request
        monthly = listed((await _for_sale(sources, request.country_code)).price_per_month)
        renewals = recurring(monthly, "month") if request.auto_renew else None
        return Proposal(
            headline=message(
                "purchase_number",
                country=request.country_code,
                months=request.duration_months,
                auto_renew=request.auto_renew,
            ),
            price=_rent(monthly, request.duration_months, renewals),
        )

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.numbers.purchase(self.request)
        first = answer.numbers[0].piv_num_id if answer.numbers else None
        return Done(result=to_json(answer), cost=answer.cost, object_id=first)

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        return FollowUp(tool="wait_for_code", arguments={"number": made}) if made else None

    def rented(self, result: JsonObject) -> Sequence[str]:
        return [row["piv_num_id"] for row in result.get("numbers", ())]

    async def before(self, sources: Sources) -> JsonObject:
        return {"ids": [number.piv_num_id for number in await _numbers_in(sources, self.request.country_code)]}

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        known = others.made.union(before["ids"])
        for number in await _numbers_in(sources, self.request.country_code):
            if number.piv_num_id not in known and self._fits(number):
                return Done(
                    result={"numbers": [to_json(number)]},
                    object_id=number.piv_num_id,
                    evidence=f"a new number, {number.phone_number}, is on the account",
                )
        return None

    def _fits(self, number: Number) -> bool:
        """Whether this action can have rented the number: name, auto-renewal and period agree, if shown."""
        wanted = self.request
        return (
            number.custom_name in (None, "", wanted.custom_name)
            and number.auto_renew in (None, wanted.auto_renew)
            and lasts(number.created_at, number.expires_at, wanted.duration_months) is not False
        )


class RenewNumberAction(RenewalAction):
    kind: ClassVar[str] = "renew_number"
    area: ClassVar[str] = "numbers"
    auto_renewal_months: ClassVar[int | None] = 1
    piv_num_id: str
    request: api.RenewNumber

    @property
    def target_id(self) -> str:
        return self.piv_num_id

    @property
    def months(self) -> int:
        return self.request.duration_months

    async def read_target(self, sources: Sources) -> JsonObject:
        return to_json(await sources.api.numbers.get(self.piv_num_id))

    async def quote(self, sources: Sources) -> Proposal:
        number = await sources.api.numbers.get(self.piv_num_id)
        country = await _for_sale(sources, number.country_code or "")
        return Proposal(
            headline=message("renew_number", number=named_number(number), months=self.months),
            price=_rent(listed(country.price_per_month), self.months),
        )

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.numbers.renew(self.piv_num_id, self.request)
        return Done(result=to_json(answer), cost=answer.cost)


class SendSmsAction(Action):
    kind: ClassVar[str] = "send_sms"
    area: ClassVar[str] = "numbers"
    piv_num_id: str
    request: api.SendSms

    @property
    def targets(self) -> frozenset[str]:
        recipients = {self.request.to_number, *phones.other_forms(self.request.to_number)}
        return frozenset(f"{self.piv_num_id} {recipient}" for recipient in recipients)

    @property
    def sole_use(self) -> frozenset[str]:
        return frozenset({self.piv_num_id})

    async def quote(self, sources: Sources) -> Proposal:
        number = await sources.api.numbers.get(self.piv_num_id)
        country = await _country(sources, number.country_code)
        can_send = country and country.can_send_sms if number.can_send_sms is None else number.can_send_sms
        if can_send is False:
            raise NumberStateError(f"{number.phone_number or number.piv_num_id} cannot send SMS", code="SMS_DISABLED")
        segments, encoding = sms_segments(self.request.message_body)
        headline = message(
            "send_sms",
            segments=segments,
            encoding=encoding,
            number=named_number(number),
            recipient=self.request.to_number,
        )
        one = listed(country.sms_send_price) if country is not None else None
        if one is None:
            return Proposal(headline=headline, price=Price.unknown("sms_unlisted"))
        if segments == 1:
            return Proposal(headline=headline, price=Price(amount=one))
        reason = message("sms_segments", segments=segments, price=one)
        price = Price(amount=one * segments, certainty="estimate", floor=one, reason=reason)
        return Proposal(headline=headline, price=price)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.numbers.send_sms(self.piv_num_id, self.request)
        return Done(result=to_json(answer), object_id=answer.message_id)

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        return wait_for_event("sms.status_updated", number=self.piv_num_id, message_id=made) if made else None

    def begun(self, result: JsonObject, made: str | None) -> Sequence[Pending]:
        return [pending("message", made, self.piv_num_id, status=result.get("status"))] if made else ()

    async def before(self, sources: Sources) -> JsonObject:
        return {"ids": [sms.id for sms in await self._outbound(sources)]}

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        known = others.made.union(before["ids"])
        for sms in await self._outbound(sources):
            if sms.id not in known:
                return Done(
                    result=to_json(sms), object_id=sms.id, evidence=f"the message is in the history as {sms.id}"
                )
        return None

    async def _outbound(self, sources: Sources) -> list[api.Sms]:
        wanted = self.request
        return [
            sms
            for sms in await _sent_from(sources, self.piv_num_id)
            if sms.message_body == wanted.message_body and sms.to_number in (None, wanted.to_number)
        ]


class StartVerificationAction(Action):
    kind: ClassVar[str] = "start_google_verification"
    area: ClassVar[str] = "numbers"
    shows: ClassVar[Literal["soon", "late", "never"]] = "late"  # once the number has sent its message to Google
    fails_with: ClassVar[str | None] = "verify.failed"
    piv_num_id: str
    request: api.StartVerification

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.piv_num_id})

    @property
    def sole_use(self) -> frozenset[str]:
        return self.targets

    async def quote(self, sources: Sources) -> Proposal:
        number = await sources.api.numbers.get(self.piv_num_id)
        return Proposal(
            headline=message("start_google_verification", number=named_number(number)),
            price=Price.unknown("verification_unlisted"),
        )

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.numbers.verify(self.piv_num_id, self.request)))

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        return wait_for_event("verify.completed", "verify.failed", number=self.piv_num_id)

    def begun(self, result: JsonObject, made: str | None) -> Sequence[Pending]:
        # What was looked for has been found, and with it the end: the message that the number sent.
        return [pending("verification", self.piv_num_id, self.piv_num_id)] if made is None else ()

    async def before(self, sources: Sources) -> JsonObject:
        return {"ids": [sms.id for sms in await _sent_from(sources, self.piv_num_id)]}

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        # The API has no query for verifications, but each one ends with a message that the number sends to Google.
        known = others.made.union(before["ids"])
        new = [sms for sms in await _sent_from(sources, self.piv_num_id) if sms.id not in known]
        if not new:
            return None
        rivals = (*others.open, *others.done, *others.earlier)
        if any(isinstance(rival, SendSmsAction) and rival.piv_num_id == self.piv_num_id for rival in others.open):
            raise Ambiguous
        if len(new) <= sum(
            isinstance(rival, StartVerificationAction) and rival.piv_num_id == self.piv_num_id for rival in rivals
        ):
            raise Ambiguous
        sms = new[-1]
        return Done(object_id=sms.id, evidence=f"the number has sent a message, {sms.id}, that no other action sent")

    def is_about(self, data: Mapping[str, Any], made: str | None) -> bool:
        return data.get("piv_num_id") == self.piv_num_id


class SetNumberAutoRenewalAction(Action):
    kind: ClassVar[str] = "set_number_auto_renewal"
    area: ClassVar[str] = "numbers"
    spends: ClassVar[bool] = False
    piv_num_id: str
    request: api.SetNumberAutoRenewal

    @property
    def has_recurring_charges(self) -> bool:
        return self.request.auto_renew

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.piv_num_id})

    async def quote(self, sources: Sources) -> Proposal:
        number = await sources.api.numbers.get(self.piv_num_id)
        if not self.request.auto_renew:
            off = message("number_auto_renewal_off", number=named_number(number), expires=day(number.expires_at))
            return Proposal(headline=off, price=FREE)
        country = await _country(sources, number.country_code)
        renewals = recurring(country and country.price_per_month, "month")
        return Proposal(
            headline=message("number_auto_renewal_on", number=named_number(number)),
            price=Price(amount=Decimal(0), recurring=renewals),
        )

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.numbers.set_auto_renewal(self.piv_num_id, self.request)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        number = await sources.api.numbers.get(self.piv_num_id)
        if number.auto_renew is self.request.auto_renew:
            return Done(result=to_json(number), evidence="the number shows the new setting")
        return None


async def _sent_from(sources: Sources, piv_num_id: str) -> list[api.Sms]:
    """The newest messages that the number has sent, the newest first."""
    page = await sources.api.numbers.sms(piv_num_id, limit=SMALL_PAGE)
    return [sms for sms in page.whole() if sms.is_outbound]


async def _country(sources: Sources, code: str | None) -> Country | None:
    """A country of the price list; None if numbers are no longer for sale there."""
    countries = await sources.api.numbers.countries()
    return next((country for country in countries if code and country.country_code.upper() == code.upper()), None)


async def _for_sale(sources: Sources, code: str) -> Country:
    country = await _country(sources, code)
    if country is None:
        raise UnavailableError(f"{code or 'the country'} is not in the price list", code="COUNTRY_NOT_AVAILABLE")
    return country


async def _numbers_in(sources: Sources, country: str) -> list[Number]:
    return await complete_rows(sources.api.numbers.list, SMALL_PAGE, country=country)


def _rent(monthly: Decimal | None, months: int, renewals: Message | None = None) -> Price:
    if monthly is None:
        return Price.unknown("country_unlisted", recurring=renewals)
    return Price(amount=monthly * months, recurring=renewals)


def named_number(number: Number) -> dict[str, str]:
    return named(number.phone_number or number.piv_num_id, number.custom_name)


ACTIONS = (
    PurchaseNumberAction,
    RenewNumberAction,
    SendSmsAction,
    StartVerificationAction,
    SetNumberAutoRenewalAction,
)
