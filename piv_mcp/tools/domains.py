"""Domains and their DNS."""

from typing import Annotated, Literal

from pydantic import Field

from piv_mcp.api.domains import (
    SetDomainAutoRenewal,
    CloudflareEnabled,
    DnsRecord,
    CreateDnsRecord,
    UpdateDnsRecord,
    DnsRecordUpdated,
    Domain,
    DomainAutoRenewal,
    DomainOffer,
    Nameserver,
    SetNameservers,
    QueueEntry,
)
from piv_mcp.api.models import Acknowledged, UtcDatetime
from piv_mcp.services import services
from piv_mcp.tools.answers import Answer, Listing, paging
from piv_mcp.tools.parameters import DomainId, DomainName, Limit500, Line, Offset, QueueId, RecordId, Search, Switch
from piv_mcp.tools.tool import Ctx, read, write

RecordType = Annotated[str, Field(pattern="^[A-Z]{1,10}$", description="A, AAAA, CNAME, MX, TXT, ...")]
RecordName = Annotated[Line, Field(min_length=1, max_length=253, description="@ for the domain itself, or a subdomain.")]
RecordContent = Annotated[Line, Field(min_length=1, max_length=4096)]
Ttl = Annotated[int, Field(ge=1, le=2_147_483_647, strict=True, description="Seconds; 1 = automatic.")]
Proxied = Annotated[Switch, Field(description="Through Cloudflare.")]
NameserverNames = Annotated[list[DomainName], Field(min_length=2, max_length=13)]


class DomainRow(Answer):
    """A domain in a list; get_domain has its records and certificate."""

    id: str
    domain_name: str | None = None
    status: str | None = None
    expires_at: UtcDatetime | None = None
    auto_renew: bool | None = None
    cloudflare_enabled: bool | None = None


class Domains(Listing):
    domains: list[DomainRow]


class DnsRecords(Answer):
    records: list[DnsRecord]


class NameserverList(Answer):
    nameservers: list[Nameserver]


async def search_domain(
    ctx: Ctx, q: Annotated[DomainName, Field(description="Whole domain, e.g. mysite.com.")]
) -> DomainOffer:
    """Check whether a domain is free, and what registration and renewal cost per year."""
    return await (await services(ctx)).client.domains.search(q)


async def list_domains(
    ctx: Ctx,
    status: Literal["active", "pending", "expired"] | None = None,
    cloudflare: Switch | None = None,
    auto_renew: Switch | None = None,
    search: Search | None = None,
    limit: Limit500 | None = None,
    offset: Offset | None = None,
) -> Domains:
    """List the account's domains."""
    page = await (await services(ctx)).client.domains.list(
        limit=limit, offset=offset, status=status, cloudflare=cloudflare, auto_renew=auto_renew, search=search
    )
    rows = [DomainRow.model_validate(domain, from_attributes=True) for domain in page.items]
    return Domains(domains=rows, **paging(page, offset))


async def get_domain(ctx: Ctx, domain_id: DomainId) -> Domain:
    """Get one domain with its certificate, DNS records and nameservers."""
    return await (await services(ctx)).client.domains.get(domain_id)


async def get_domain_queue(ctx: Ctx, queue_id: QueueId) -> QueueEntry:
    """Get the progress of a registration or renewal. wait_for_event(domain.registered) waits for the end."""
    return await (await services(ctx)).client.domains.queue(queue_id)


async def set_domain_auto_renewal(ctx: Ctx, domain_id: DomainId, auto_renew: Switch) -> DomainAutoRenewal:
    """Turn a domain's auto-renewal on or off."""
    return await (await services(ctx)).client.domains.set_auto_renew(
        domain_id, SetDomainAutoRenewal(auto_renew=auto_renew)
    )


async def list_dns_records(ctx: Ctx, domain_id: DomainId) -> DnsRecords:
    """List a domain's DNS records with their ids."""
    return DnsRecords(records=await (await services(ctx)).client.domains.dns(domain_id))


async def create_dns_record(
    ctx: Ctx,
    domain_id: DomainId,
    type: RecordType,
    name: RecordName,
    content: RecordContent,
    ttl: Ttl | None = None,
    proxied: Proxied | None = None,
) -> DnsRecord:
    """Add a DNS record. To change one that exists use update_dns_record."""
    record = CreateDnsRecord.of(type=type, name=name, content=content, ttl=ttl, proxied=proxied)
    return await (await services(ctx)).client.domains.create_dns(domain_id, record)


async def update_dns_record(
    ctx: Ctx,
    domain_id: DomainId,
    record_id: RecordId,
    type: RecordType | None = None,
    name: RecordName | None = None,
    content: RecordContent | None = None,
    ttl: Ttl | None = None,
    proxied: Proxied | None = None,
) -> DnsRecordUpdated:
    """Change fields of a DNS record. Fields left out stay as they are."""
    record = UpdateDnsRecord.of(type=type, name=name, content=content, ttl=ttl, proxied=proxied)
    return await (await services(ctx)).client.domains.update_dns(domain_id, record_id, record)


async def delete_dns_record(ctx: Ctx, domain_id: DomainId, record_id: RecordId) -> Acknowledged:
    """Delete a DNS record."""
    return await (await services(ctx)).client.domains.delete_dns(domain_id, record_id)


async def enable_cloudflare(ctx: Ctx, domain_id: DomainId) -> CloudflareEnabled:
    """Put a domain behind Cloudflare. The API cannot undo this."""
    return await (await services(ctx)).client.domains.enable_cloudflare(domain_id)


async def set_nameservers(ctx: Ctx, domain_id: DomainId, nameservers: NameserverNames) -> NameserverList:
    """Replace a domain's nameservers."""
    client = (await services(ctx)).client
    return NameserverList(nameservers=await client.domains.set_nameservers(domain_id, SetNameservers(nameservers=nameservers)))


TOOLS = (
    read(search_domain, "Domain availability", "GET /domains/search"),
    read(list_domains, "Domains", "GET /domains"),
    read(get_domain, "Domain", "GET /domains/{id}"),
    read(get_domain_queue, "Registration progress", "GET /domains/queue/{id}"),
    write(
        set_domain_auto_renewal,
        "Domain auto-renewal",
        "POST /domains/{id}/auto-renew",
        destructive=True,
        idempotent=True,
    ),
    read(list_dns_records, "DNS records", "GET /domains/{id}/dns"),
    write(create_dns_record, "Add DNS record", "POST /domains/{id}/dns", destructive=False, idempotent=False),
    write(update_dns_record, "Change DNS record", "PUT /domains/{id}/dns/{recordId}", destructive=True, idempotent=True),
    write(
        delete_dns_record, "Delete DNS record", "DELETE /domains/{id}/dns/{recordId}", destructive=True, idempotent=True
    ),
    write(enable_cloudflare, "Enable Cloudflare", "POST /domains/{id}/cloudflare", destructive=True, idempotent=True),
    write(set_nameservers, "Set nameservers", "POST /domains/{id}/ns-servers", destructive=True, idempotent=True),
)
