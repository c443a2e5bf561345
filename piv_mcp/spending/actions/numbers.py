"""Actions on numbers: rent, renew, restore, send an SMS, start a Google verification, set auto-renewal."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from piv_mcp.api import numbers as api
from piv_mcp.api.events import NumberRestoreCompleted
from piv_mcp.api.models import SMALL_PAGE
from piv_mcp.api.numbers import Country, Number
from piv_mcp.api.paging import all_rows
from piv_mcp.errors import NotFoundError, NumberStateError, UnavailableError
from piv_mcp.spending.actions.base import Action, Ambiguous, Done, JsonObject, OtherActions, Sources, to_json
from piv_mcp.spending.actions.evidence import EVENT_DELAY_SECONDS, MAX_EVENTS, lasts, outcome_of
from piv_mcp.spending.actions.renewal import RenewalAction
from piv_mcp.spending.actions.sms_segments import sms_segments
from piv_mcp.spending.quote import FREE, Price, day, dollars, months, recurring, switch
from piv_mcp.store import events

NO_COUNTRY_PRICE = "the country has no listed price"


class PurchaseNumberAction(Action):
    kind: ClassVar[str] = "purchase_number"
    area: ClassVar[str] = "numbers"
    request: api.PurchaseNumber

    @property
    def has_recurring_charges(self) -> bool:
        return self.request.auto_renew

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        request = self.request
        country = await _for_sale(sources, request.country_code)
        monthly = country.price_per_month
        name = f", named {request.custom_name!r}" if request.custom_name else ""
        words = (
            f"Rent a number in {request.country_code} for {months(request.duration_months)}, "
            f"auto-renewal {switch(request.auto_renew)}{name}"
        )
        renewals = _renewals(monthly) if request.auto_renew else None
        if monthly is None:
            return words, Price.unknown(NO_COUNTRY_PRICE, recurring=renewals)
        return words, Price(amount=monthly * request.duration_months, recurring=renewals)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.numbers.purchase(self.request)
        first = answer.numbers[0].piv_num_id if answer.numbers else None
        return Done(result=to_json(answer), cost=answer.cost, object_id=first)

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

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        number = await sources.api.numbers.get(self.piv_num_id)
        words = f"Renew {_name(number)} for {months(self.request.duration_months)}"
        country = await _for_sale(sources, number.country_code or "")
        if country.price_per_month is None:
            return words, Price.unknown(NO_COUNTRY_PRICE)
        return words, Price(amount=country.price_per_month * self.request.duration_months)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.numbers.renew(self.piv_num_id, self.request)
        return Done(result=to_json(answer), cost=answer.cost)


class RestoreNumbersAction(Action):
    kind: ClassVar[str] = "restore_numbers"
    area: ClassVar[str] = "numbers"
    fails_with: ClassVar[str | None] = "number.restore_completed"
    request: api.RestoreNumbers

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        numbers = await self._found(sources)
        rents = {country.country_code: country.price_per_month for country in await sources.api.numbers.countries()}
        floor = sum((rents.get(number.country_code or "") or Decimal(0) for number in numbers.values()), Decimal(0))
        words = f"Restore {', '.join(_name(number) for number in numbers.values())}"
        if missing := [id_ for id_ in self.request.piv_num_ids if id_ not in numbers]:
            words += f"; not on the account, so piv.day will skip them: {', '.join(missing)}"
        return words, Price.unknown(
            "restoring costs more than a month's rent; how much more is not listed", floor=floor or None
        )

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.numbers.restore(self.request)
        return Done(result=to_json(answer), cost=answer.total_charged)

    async def before(self, sources: Sources) -> JsonObject:
        return {id_: to_json(number) for id_, number in (await self._found(sources)).items()}

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        ids = set(self.request.piv_num_ids)
        shared = any(
            isinstance(other, RestoreNumbersAction) and ids.intersection(other.request.piv_num_ids)
            for other in (*others.done, *others.open)
        )
        for id_, found in (await self._found(sources)).items():
            number, old = to_json(found), before.get(id_)
            if old is None:
                continue
            if shared and number != old:
                raise Ambiguous
            # `pending_restore` can mean "can be restored" or "is being restored", so only a change is evidence.
            if number.get("status") != old.get("status"):
                change = f"the status of {id_} changed from {old.get('status')} to {number.get('status')}"
                return Done(result=number, evidence=change)
            if number.get("expires_at", "") > old.get("expires_at", ""):  # both are UTC in one form
                return Done(result=number, evidence=f"the expiry of {id_} changed to {number['expires_at']}")
        return None

    def refund(self, data: Mapping[str, Any], made: str | None, charged: Decimal) -> Decimal | None:
        failed = NumberRestoreCompleted.model_validate(data).failed
        back = [row.refunded or Decimal(0) for row in failed if row.piv_num_id in self.request.piv_num_ids]
        return sum(back, Decimal(0)) if back else None

    async def _found(self, sources: Sources) -> dict[str, Number]:
        """The numbers by id. A restore skips unknown numbers, and fails if all are unknown; so does this.

        Raises:
            NotFoundError: none of the numbers is on the account.
        """
        found: dict[str, Number] = {}
        unknown: NotFoundError | None = None
        for id_ in self.request.piv_num_ids:
            try:
                found[id_] = await sources.api.numbers.get(id_)
            except NotFoundError as error:
                unknown = error
        if not found and unknown is not None:
            raise unknown
        return found


class SendSmsAction(Action):
    kind: ClassVar[str] = "send_sms"
    area: ClassVar[str] = "numbers"
    piv_num_id: str
    request: api.SendSms

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        number = await sources.api.numbers.get(self.piv_num_id)
        country = await _country(sources, number.country_code)
        can_send = country and country.can_send_sms if number.can_send_sms is None else number.can_send_sms
        if can_send is False:
            raise NumberStateError(f"{_name(number)} cannot send SMS", code="SMS_DISABLED")
        segments, encoding = sms_segments(self.request.message_body)
        words = (
            f"Send {segments} SMS ({encoding}) from {_name(number)} to {self.request.to_number}: "
            f"{self.request.message_body!r}"
        )
        if country is None or country.sms_send_price is None:
            return words, Price.unknown("the country has no listed SMS price")
        if segments == 1:
            return words, Price(amount=country.sms_send_price)
        reason = f"{segments} segments of {dollars(country.sms_send_price)}; the price of long texts is not documented"
        one = country.sms_send_price
        return words, Price(amount=one * segments, certainty="estimate", floor=one, reason=reason)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.numbers.send_sms(self.piv_num_id, self.request)
        return Done(result=to_json(answer), object_id=answer.message_id)

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
        page = await sources.api.numbers.sms(self.piv_num_id, limit=SMALL_PAGE)
        wanted = self.request
        return [
            sms
            for sms in page.items
            if sms.direction == "outbound"
            and sms.message_body == wanted.message_body
            and sms.to_number in (None, wanted.to_number)
        ]


class StartVerificationAction(Action):
    kind: ClassVar[str] = "start_google_verification"
    area: ClassVar[str] = "numbers"
    visible: ClassVar[bool] = False
    fails_with: ClassVar[str | None] = "verify.failed"
    piv_num_id: str
    request: api.StartVerification

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        number = await sources.api.numbers.get(self.piv_num_id)
        return (
            f"Start a Google verification on {_name(number)} with {self.request.gv_url}",
            Price.unknown("verifications have no listed price"),
        )

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.numbers.verify(self.piv_num_id, self.request)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        # The API has no query for verifications: only a webhook shows the outcome, and it does not name the call.
        found = await sources.store.read(
            events.matching,
            ("verify.completed", "verify.failed"),
            {"piv_num_id": self.piv_num_id},
            after=0,
            since=since - EVENT_DELAY_SECONDS,
            limit=MAX_EVENTS,
        )
        earlier = sum(event.arrived_at < since for event in found)
        same_kind = [other for other in others.unexplained if isinstance(other, type(self))]
        same_number = sum(other.piv_num_id == self.piv_num_id for other in same_kind)
        return outcome_of(found[earlier:], others, waiting=max(0, same_number - earlier))

    def refund(self, data: Mapping[str, Any], made: str | None, charged: Decimal) -> Decimal | None:
        return charged if data.get("piv_num_id") == self.piv_num_id else None


class SetNumberAutoRenewalAction(Action):
    kind: ClassVar[str] = "set_number_auto_renewal"
    area: ClassVar[str] = "numbers"
    spends: ClassVar[bool] = False
    piv_num_id: str
    request: api.SetNumberAutoRenewal

    @property
    def has_recurring_charges(self) -> bool:
        return self.request.auto_renew

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        number = await sources.api.numbers.get(self.piv_num_id)
        if not self.request.auto_renew:
            return f"Turn auto-renewal off for {_name(number)}; it then expires on {day(number.expires_at)}", FREE
        country = await _country(sources, number.country_code)
        renewals = _renewals(country and country.price_per_month)
        return f"Turn auto-renewal on for {_name(number)}", Price(amount=Decimal(0), recurring=renewals)

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.numbers.set_auto_renewal(self.piv_num_id, self.request)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        number = await sources.api.numbers.get(self.piv_num_id)
        if number.auto_renew is self.request.auto_renew:
            return Done(result=to_json(number), evidence="the number shows the new setting")
        return None


async def _country(sources: Sources, code: str | None) -> Country | None:
    """A country of the price list; None if numbers are no longer for sale there."""
    for country in await sources.api.numbers.countries():
        if code is not None and country.country_code.upper() == code.upper():
            return country
    return None


async def _for_sale(sources: Sources, code: str) -> Country:
    country = await _country(sources, code)
    if country is None:
        raise UnavailableError(f"{code or 'the country'} is not in the price list", code="COUNTRY_NOT_AVAILABLE")
    return country


async def _numbers_in(sources: Sources, country: str) -> list[Number]:
    return (await all_rows(sources.api.numbers.list, SMALL_PAGE, country=country))[0]


def _name(number: Number) -> str:
    name = f" ({number.custom_name})" if number.custom_name else ""
    return f"{number.phone_number or number.piv_num_id}{name}"


def _renewals(monthly: Decimal | None) -> str:
    return recurring(monthly, "month, charged 24 hours before expiry")


ACTIONS = (
    PurchaseNumberAction,
    RenewNumberAction,
    RestoreNumbersAction,
    SendSmsAction,
    StartVerificationAction,
    SetNumberAutoRenewalAction,
)
