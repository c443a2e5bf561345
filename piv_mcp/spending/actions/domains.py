"""Actions on domains: register, renew, set auto-renewal, and irreversible changes."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

from piv_mcp.api import domains as api
from piv_mcp.api.domains import DnsRecord, Domain, DomainOffer
from piv_mcp.api.models import LARGE_PAGE
from piv_mcp.api.paging import complete_rows
from piv_mcp.errors import UnavailableError
from piv_mcp.spending.actions.base import (
    Action,
    Done,
    FollowUp,
    JsonObject,
    OtherActions,
    Proposal,
    Sources,
    to_json,
    wait_for_event,
)
from piv_mcp.spending.actions.evidence import fits, lasts
from piv_mcp.spending.actions.renewal import RenewalAction
from piv_mcp.spending.messages import day, message
from piv_mcp.spending.quote import FREE, Argument, Price, listed, recurring
from piv_mcp.store.pending import Pending, pending


class RegisterDomainAction(Action):
    kind: ClassVar[str] = "register_domain"
    area: ClassVar[str] = "domains"
    fails_with: ClassVar[str | None] = "domain.failed"
    unordered: ClassVar[frozenset[str]] = frozenset({"nameservers", "dns_records"})
    caseless: ClassVar[frozenset[str]] = frozenset({"domain", "nameservers", "type", "name"})
    request: api.RegisterDomain

    @property
    def has_recurring_charges(self) -> bool:
        return self.request.auto_renew

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.request.domain.casefold()})

    async def quote(self, sources: Sources) -> Proposal:
        request = self.request
        offer = await sources.api.domains.search(request.domain)
        if offer.available is False:
            raise UnavailableError(f"{request.domain} is not available", code="DOMAIN_NOT_AVAILABLE")
        first, further = (_in_dollars(offer, price) for price in (offer.create_price, offer.renew_price))
        renewals = recurring(further, "year") if request.auto_renew else None
        if first is None or (request.period > 1 and further is None):
            price = Price.unknown("domain_unlisted", floor=first, recurring=renewals)
        elif request.period == 1:
            price = Price(amount=first, recurring=renewals)
        else:
            price = Price(
                amount=first + (further or Decimal(0)) * (request.period - 1),
                certainty="estimate",
                floor=first,
                reason=message("first_year_and_renewals"),
                recurring=renewals,
            )
        headline = message(
            "register_domain", domain=request.domain, years=request.period, auto_renew=request.auto_renew
        )
        return Proposal(headline=headline, price=price)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.domains.register(self.request)
        return Done(result=to_json(answer), object_id=answer.domain.id if answer.domain else answer.queue_id)

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        if made is None:
            return None
        if made == result.get("queue_id"):
            return wait_for_event("domain.registered", "domain.failed", queue_id=made)
        if result.get("status") in ("completed", "active"):
            return FollowUp(tool="get_domain", arguments={"domain_id": made})
        return wait_for_event("domain.registered", "domain.failed", domain_id=made)

    def begun(self, result: JsonObject, made: str | None) -> Sequence[Pending]:
        if made is None:
            return ()
        queue_id = result.get("queue_id")
        return [pending("registration", made, queue_id=queue_id, domain_name=self.request.domain)]

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
        return None

    def is_about(self, data: Mapping[str, Any], made: str | None) -> bool:
        name = data.get("domain_name")
        return isinstance(name, str) and bool(name) and fits(name, self.request.domain)

    def _fits(self, domain: Domain) -> bool:
        """Whether this action can have registered the domain: Cloudflare, auto-renewal and period agree, if shown."""
        wanted = self.request
        return (
            domain.cloudflare_enabled in (None, wanted.cloudflare)
            and domain.auto_renew in (None, wanted.auto_renew)
            and lasts(domain.registered_at, domain.expires_at, 12 * wanted.period) is not False
        )

    async def _named(self, sources: Sources) -> list[Domain]:
        domains = await complete_rows(sources.api.domains.list, LARGE_PAGE, search=self.request.domain)
        return [domain for domain in domains if domain.domain_name and fits(domain.domain_name, self.request.domain)]


class RenewDomainAction(RenewalAction):
    kind: ClassVar[str] = "renew_domain"
    area: ClassVar[str] = "domains"
    shows: ClassVar[Literal["soon", "late", "never"]] = "late"  # when piv.day's queue has processed the renewal
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

    async def quote(self, sources: Sources) -> Proposal:
        domain = await sources.api.domains.get(self.domain_id)
        headline = message("renew_domain", domain=_name(domain), years=self.request.period)
        price = await renewal_price(sources.api.domains, domain)
        if price is None:
            return Proposal(headline=headline, price=Price.unknown("domain_unlisted"))
        if self.request.period == 1:
            return Proposal(headline=headline, price=Price(amount=price))
        amount, reason = price * self.request.period, message("several_years")
        return Proposal(headline=headline, price=Price(amount=amount, certainty="estimate", floor=price, reason=reason))

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.domains.renew(self.domain_id, self.request)))

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        if queue_id := result.get("queue_id"):
            return wait_for_event("domain.renewed", "domain.failed", queue_id=queue_id)
        return FollowUp(tool="get_domain", arguments={"domain_id": self.domain_id})

    def begun(self, result: JsonObject, made: str | None) -> Sequence[Pending]:
        queue_id = result.get("queue_id")
        return [pending("renewal", queue_id, queue_id=queue_id, domain_id=self.domain_id)] if queue_id else ()

    def is_about(self, data: Mapping[str, Any], made: str | None) -> bool:
        return data.get("domain_id") == self.domain_id


class SetDomainAutoRenewalAction(Action):
    kind: ClassVar[str] = "set_domain_auto_renewal"
    area: ClassVar[str] = "domains"
    spends: ClassVar[bool] = False
    domain_id: str
    request: api.SetDomainAutoRenewal

    @property
    def has_recurring_charges(self) -> bool:
        return self.request.auto_renew

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.domain_id})

    async def quote(self, sources: Sources) -> Proposal:
        domain = await sources.api.domains.get(self.domain_id)
        if not self.request.auto_renew:
            off = message("domain_auto_renewal_off", domain=_name(domain), expires=day(domain.expires_at))
            return Proposal(headline=off, price=FREE)
        renewals = recurring(await renewal_price(sources.api.domains, domain), "year")
        return Proposal(
            headline=message("domain_auto_renewal_on", domain=_name(domain)),
            price=Price(amount=Decimal(0), recurring=renewals),
        )

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.domains.set_auto_renew(self.domain_id, self.request)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        domain = await sources.api.domains.get(self.domain_id)
        if domain.auto_renew is self.request.auto_renew:
            return Done(result=to_json(domain), evidence="the domain shows the new setting")
        return None


class DnsRecordAction(Action):
    """A change of the record `record_id`."""

    area: ClassVar[str] = "domains"
    spends: ClassVar[bool] = False
    verb: ClassVar[Literal["update", "delete"]]
    domain_id: str
    record_id: str

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({f"{self.domain_id} {self.record_id}"})

    async def quote(self, sources: Sources) -> Proposal:
        domain = await sources.api.domains.get(self.domain_id)
        record = await self.record(sources)
        if record is None:
            return Proposal(headline=message(f"{self.verb}_unlisted_record", domain=_name(domain)), price=FREE)
        shown = record.model_dump(exclude_none=True, exclude={"id"})
        return Proposal(
            headline=message(f"{self.verb}_dns_record", domain=_name(domain)),
            price=FREE,
            now=(Argument(name="record", value=shown),),
        )

    async def record(self, sources: Sources) -> DnsRecord | None:
        """The record as the API lists it."""
        records = await sources.api.domains.dns(self.domain_id)
        return next((record for record in records if record.id == self.record_id), None)


class UpdateDnsRecordAction(DnsRecordAction):
    kind: ClassVar[str] = "update_dns_record"
    verb: ClassVar[Literal["update", "delete"]] = "update"
    caseless: ClassVar[frozenset[str]] = frozenset({"type", "name"})
    request: api.UpdateDnsRecord

    async def send(self, sources: Sources) -> Done:
        updated = await sources.api.domains.update_dns(self.domain_id, self.record_id, self.request)
        return Done(result=to_json(updated))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        record = await self.record(sources)
        if record is None or any(getattr(record, name) != value for name, value in self.request.wire().items()):
            return None
        return Done(result={"record": to_json(record)}, evidence="the record shows the new values")


class DeleteDnsRecordAction(DnsRecordAction):
    kind: ClassVar[str] = "delete_dns_record"
    verb: ClassVar[Literal["update", "delete"]] = "delete"

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.domains.delete_dns(self.domain_id, self.record_id)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        return Done(evidence="the record is gone") if await self.record(sources) is None else None


class EnableCloudflareAction(Action):
    kind: ClassVar[str] = "enable_cloudflare"
    area: ClassVar[str] = "domains"
    spends: ClassVar[bool] = False
    domain_id: str

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.domain_id})

    async def quote(self, sources: Sources) -> Proposal:
        domain = await sources.api.domains.get(self.domain_id)
        return Proposal(
            headline=message("enable_cloudflare", domain=_name(domain)), price=FREE, now=_nameservers_now(domain)
        )

    async def send(self, sources: Sources) -> Done:
        return Done(result=to_json(await sources.api.domains.enable_cloudflare(self.domain_id)))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        domain = await sources.api.domains.get(self.domain_id)
        return Done(result=to_json(domain), evidence="Cloudflare is on") if domain.cloudflare_enabled else None


class SetNameserversAction(Action):
    kind: ClassVar[str] = "set_nameservers"
    area: ClassVar[str] = "domains"
    spends: ClassVar[bool] = False
    unordered: ClassVar[frozenset[str]] = frozenset({"nameservers"})
    caseless: ClassVar[frozenset[str]] = frozenset({"nameservers"})
    domain_id: str
    request: api.SetNameservers

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.domain_id})

    async def quote(self, sources: Sources) -> Proposal:
        domain = await sources.api.domains.get(self.domain_id)
        return Proposal(
            headline=message("set_nameservers", domain=_name(domain)), price=FREE, now=_nameservers_now(domain)
        )

    async def send(self, sources: Sources) -> Done:
        servers = await sources.api.domains.set_nameservers(self.domain_id, self.request)
        return Done(result={"nameservers": [to_json(server) for server in servers]})

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        domain = await sources.api.domains.get(self.domain_id)
        if {server.nameserver.lower() for server in domain.nameservers} == {
            name.lower() for name in self.request.nameservers
        }:
            return Done(result=to_json(domain), evidence="the domain shows the new nameservers")
        return None


def _nameservers_now(domain: Domain) -> tuple[Argument, ...]:
    old = [server.nameserver for server in domain.nameservers]
    return (Argument(name="nameservers", value=old),) if old else ()


def _in_dollars(offer: DomainOffer, price: Decimal | None) -> Decimal | None:
    """A listed price; None, which is unknown, if it is not in the account's currency."""
    return listed(price) if (offer.currency or "USD").upper() == "USD" else None


async def renewal_price(domains: api.DomainsApi, domain: Domain) -> Decimal | None:
    """The renewal price of a year in US dollars, None if it is unknown. The search for a domain lists it, also for a
    domain that is taken."""
    if not domain.domain_name:
        return None
    offer = await domains.search(domain.domain_name)
    return _in_dollars(offer, offer.renew_price)


def _name(domain: Domain) -> str:
    return domain.domain_name or domain.id


ACTIONS = (
    RegisterDomainAction,
    RenewDomainAction,
    SetDomainAutoRenewalAction,
    UpdateDnsRecordAction,
    DeleteDnsRecordAction,
    EnableCloudflareAction,
    SetNameserversAction,
)
