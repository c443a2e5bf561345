"""Actions on domains: register, renew, set auto-renewal, and irreversible changes."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from piv_mcp.api import domains as api
from piv_mcp.api.domains import Domain
from piv_mcp.api.models import LARGE_PAGE
from piv_mcp.api.paging import all_rows
from piv_mcp.errors import UnavailableError
from piv_mcp.spending.actions.base import Action, Done, JsonObject, OtherActions, Sources, to_json
from piv_mcp.spending.actions.evidence import MAX_EVENTS, fits, lasts, outcome_of
from piv_mcp.spending.actions.renewal import RenewalAction
from piv_mcp.spending.quote import FREE, Price, day, recurring, switch, years
from piv_mcp.store import events

NO_DOMAIN_PRICE = "no listed price"
SEVERAL_YEARS = (
    "the API does not list the price of several years: calculated as the first year plus renewals for the others"
)


class RegisterDomainAction(Action):
    kind: ClassVar[str] = "register_domain"
    area: ClassVar[str] = "domains"
    fails_with: ClassVar[str | None] = "domain.failed"
    request: api.RegisterDomain

    @property
    def has_recurring_charges(self) -> bool:
        return self.request.auto_renew

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        request = self.request
        offer = await sources.api.domains.search(request.domain)
        if offer.available is False:
            raise UnavailableError(f"{request.domain} is not available", code="DOMAIN_NOT_AVAILABLE")
        words = (
            f"Register {request.domain} for {years(request.period)}, Cloudflare {switch(request.cloudflare)}, "
            f"auto-renewal {switch(request.auto_renew)}"
        )
        if request.nameservers:
            words += f", nameservers {', '.join(request.nameservers)}"
        if request.dns_records:
            words += f", {len(request.dns_records)} DNS record{'s' if len(request.dns_records) > 1 else ''}"
        first, further = offer.create_price, offer.renew_price
        renewals = recurring(further, "year") if request.auto_renew else None
        if first is None or (request.period > 1 and further is None):
            return words, Price.unknown(NO_DOMAIN_PRICE, floor=first, recurring=renewals)
        if request.period == 1:
            return words, Price(amount=first, recurring=renewals)
        amount = first + (further or Decimal(0)) * (request.period - 1)
        return words, Price(amount=amount, certainty="estimate", floor=first, reason=SEVERAL_YEARS, recurring=renewals)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.domains.register(self.request)
        return Done(result=to_json(answer), object_id=answer.domain.id if answer.domain else answer.queue_id)

    async def before(self, sources: Sources) -> JsonObject:
        return {"ids": [domain.id for domain in await self._named(sources)]}

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        known = others.made.union(before["ids"])
        for domain in await self._named(sources):
            if domain.id not in known and self._fits(domain):
                return Done(
                    result=to_json(domain),
                    object_id=domain.id,
                    evidence=f"the domain is on the account ({domain.status})",
                )
        found = await sources.store.read(
            events.matching,
            ("domain.registered", "domain.failed"),
            {"domain_name": self.request.domain},
            after=0,
            since=since,
            limit=MAX_EVENTS,
        )
        return outcome_of(found, others)

    def refund(self, data: Mapping[str, Any], made: str | None, charged: Decimal) -> Decimal | None:
        name = data.get("domain_name")
        return charged if isinstance(name, str) and fits(name, self.request.domain) else None

    def _fits(self, domain: Domain) -> bool:
        """Whether this action can have registered the domain: Cloudflare, auto-renewal and period agree, if shown."""
        wanted = self.request
        return (
            domain.cloudflare_enabled in (None, wanted.cloudflare)
            and domain.auto_renew in (None, wanted.auto_renew)
            and lasts(domain.registered_at, domain.expires_at, 12 * wanted.period) is not False
        )

    async def _named(self, sources: Sources) -> list[Domain]:
        domains, _ = await all_rows(sources.api.domains.list, LARGE_PAGE, search=self.request.domain)
        return [domain for domain in domains if domain.domain_name and fits(domain.domain_name, self.request.domain)]


class RenewDomainAction(RenewalAction):
    kind: ClassVar[str] = "renew_domain"
    area: ClassVar[str] = "domains"
    visible: ClassVar[bool] = False  # the expiry changes only when piv.day's queue has processed the renewal
    auto_renewal_months: ClassVar[int | None] = 12
    fails_with: ClassVar[str | None] = "domain.failed"
    domain_id: str
    request: api.RenewDomain

    @property
    def target_id(self) -> str:
        return self.domain_id

    @property
    def months(self) -> int:
        return 12 * self.request.period

    async def read_target(self, sources: Sources) -> JsonObject:
        return to_json(await sources.api.domains.get(self.domain_id))

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        domain = await sources.api.domains.get(self.domain_id)
        words = f"Renew {_name(domain)} for {years(self.request.period)}"
        price = await _renew_price(sources, domain)
        if price is None:
            return words, Price.unknown(NO_DOMAIN_PRICE)
        if self.request.period == 1:
            return words, Price(amount=price)
        reason = "the API does not list the price of several years"
        return words, Price(amount=price * self.request.period, certainty="estimate", floor=price, reason=reason)

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.domains.renew(self.domain_id, self.request)))

    def refund(self, data: Mapping[str, Any], made: str | None, charged: Decimal) -> Decimal | None:
        return charged if data.get("domain_id") == self.domain_id else None


class SetDomainAutoRenewalAction(Action):
    kind: ClassVar[str] = "set_domain_auto_renewal"
    area: ClassVar[str] = "domains"
    spends: ClassVar[bool] = False
    domain_id: str
    request: api.SetDomainAutoRenewal

    @property
    def has_recurring_charges(self) -> bool:
        return self.request.auto_renew

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        domain = await sources.api.domains.get(self.domain_id)
        if not self.request.auto_renew:
            return f"Turn auto-renewal off for {_name(domain)}; it then expires on {day(domain.expires_at)}", FREE
        renewals = recurring(await _renew_price(sources, domain), "year")
        return f"Turn auto-renewal on for {_name(domain)}", Price(amount=Decimal(0), recurring=renewals)

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.domains.set_auto_renew(self.domain_id, self.request)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        domain = await sources.api.domains.get(self.domain_id)
        if domain.auto_renew is self.request.auto_renew:
            return Done(result=to_json(domain), evidence="the domain shows the new setting")
        return None


class DeleteDnsRecordAction(Action):
    kind: ClassVar[str] = "delete_dns_record"
    area: ClassVar[str] = "domains"
    spends: ClassVar[bool] = False
    domain_id: str
    record_id: str

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        domain = await sources.api.domains.get(self.domain_id)
        for record in await sources.api.domains.dns(self.domain_id):
            if record.id == self.record_id:
                what = f"{record.type} {record.name} -> {record.content}"
                return f"Delete the DNS record {what} of {_name(domain)}", FREE
        unlisted = f"Delete the DNS record {self.record_id} of {_name(domain)}"
        return f"{unlisted}, which is not in the domain's list of records", FREE

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.domains.delete_dns(self.domain_id, self.record_id)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        if all(record.id != self.record_id for record in await sources.api.domains.dns(self.domain_id)):
            return Done(evidence="the record is gone")
        return None


class EnableCloudflareAction(Action):
    kind: ClassVar[str] = "enable_cloudflare"
    area: ClassVar[str] = "domains"
    spends: ClassVar[bool] = False
    domain_id: str

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        domain = await sources.api.domains.get(self.domain_id)
        return f"Put {_name(domain)} behind Cloudflare; the API cannot undo this", FREE

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.domains.enable_cloudflare(self.domain_id)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        domain = await sources.api.domains.get(self.domain_id)
        return Done(result=to_json(domain), evidence="Cloudflare is on") if domain.cloudflare_enabled else None


class SetNameserversAction(Action):
    kind: ClassVar[str] = "set_nameservers"
    area: ClassVar[str] = "domains"
    spends: ClassVar[bool] = False
    domain_id: str
    request: api.SetNameservers

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        domain = await sources.api.domains.get(self.domain_id)
        old = ", ".join(server.nameserver for server in domain.nameservers) or "unknown"
        new = ", ".join(self.request.nameservers)
        return f"Replace the nameservers of {_name(domain)}: {old} -> {new}", FREE

    async def send(self, sources: Sources) -> Done:
        servers = await sources.api.domains.set_nameservers(self.domain_id, self.request)
        return Done(result={"nameservers": [to_json(server) for server in servers]})

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        domain = await sources.api.domains.get(self.domain_id)
        if {server.nameserver.lower() for server in domain.nameservers} == set(self.request.nameservers):
            return Done(result=to_json(domain), evidence="the domain shows the new nameservers")
        return None


async def _renew_price(sources: Sources, domain: Domain) -> Decimal | None:
    """The renewal price of a year. The search for a domain lists it, also for a domain that is taken."""
    return (await sources.api.domains.search(domain.domain_name)).renew_price if domain.domain_name else None


def _name(domain: Domain) -> str:
    return domain.domain_name or domain.id


ACTIONS = (
    RegisterDomainAction,
    RenewDomainAction,
    SetDomainAutoRenewalAction,
    DeleteDnsRecordAction,
    EnableCloudflareAction,
    SetNameserversAction,
)
