"""Tools of domains and their DNS."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from piv_mcp.api.domains import (
    CreateDnsRecord,
    DnsRecord,
    Domain,
    DomainOffer,
    DomainStatus,
    QueueEntry,
    RegisterDomain,
    RenewDomain,
    SetDomainAutoRenewal,
    SetNameservers,
    SslMode,
    UpdateDnsRecord,
)
from piv_mcp.api.models import UtcDatetime
from piv_mcp.services import Services, services
from piv_mcp.spending.actions import domains as actions
from piv_mcp.spending.receipt import Receipt
from piv_mcp.text import dns
from piv_mcp.tools.answers import Answer, Listing, paging, whole
from piv_mcp.tools.parameters import (
    DEFAULT_OF_500,
    AutoRenew,
    DomainId,
    DomainName,
    Limit500,
    Line,
    Offset,
    QueueId,
    RecordId,
    Search,
    Switch,
    at_most,
    limited,
)
from piv_mcp.tools.spec import Ctx, perform, read, spend, write

NO_PRIORITY = (
    "the API documents no priority in its requests. Make the record without it and look at the answer's priority. "
    "Content such as '10 mail.example.com' may set it, which is undocumented; so may the piv.day dashboard"
)
UNFINISHED = (
    "Not finished. wait_for_event(types=[domain.registered, domain.renewed, domain.failed], queue_id={queue_id}) tells"
    " the end."
)
UNDOCUMENTED_STATUS = (
    "The reference knows pending, processing and completed, not this status. A registration that fails is refunded."
)
PRIORITY_UNKNOWN = (
    "The API documents no MX priority in requests. If the priority shown here is not right, the content "
    "'10 mail.example.com' may set it (undocumented), or the piv.day dashboard."
)


def _record_type(value: str) -> str:
    word = value.strip().upper()
    if not (word.isascii() and word.isalnum() and word[0].isalpha() and len(word) <= 10):
        raise ValueError("must be a record type, such as A, CNAME or TXT")
    return word


RecordType = Annotated[str, AfterValidator(_record_type), Field(description="A, AAAA, CNAME, MX, TXT, ...")]
RecordName = Annotated[
    str, AfterValidator(dns.record_name), Field(description="@ for the domain itself, or a subdomain.")
]
RecordContent = Annotated[Line, limited(4096), Field(description="E.g. an IP address or a host name.")]
Ttl = Annotated[int, Field(ge=1, strict=True, description="Seconds; 1 = automatic."), at_most(2_147_483_647)]
Proxied = Annotated[Switch, Field(description="Through Cloudflare.")]
NewProxied = Annotated[Switch, Field(description="Through Cloudflare. piv.day names no default.")]
NameserverNames = Annotated[list[DomainName], Field(min_length=2, description="All of them."), at_most(13)]


# A DNS record of a new domain. This is no docstring, which would become part of the input schema and
# say no more than the name of the parameter.
class FirstRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: RecordType
    name: RecordName
    content: RecordContent
    ttl: Ttl | None = None
    proxied: NewProxied | None = None


class DomainRow(Answer):
    """A domain in a list; get_domain shows its records and certificate."""

    id: str
    domain_name: str | None = None
    status: str | None = None
    registered_at: UtcDatetime | None = None
    expires_at: UtcDatetime | None = None
    auto_renew: bool | None = None
    cloudflare_enabled: bool | None = None


class Domains(Listing):
    ROWS = "domains"

    domains: list[DomainRow]


class CreatedRecord(DnsRecord):
    note: str | None = None


class ShownQueueEntry(QueueEntry):
    note: str | None = None


class DnsRecords(Listing):
    ROWS = "records"

    records: list[DnsRecord]


async def search_domain(
    ctx: Ctx, q: Annotated[DomainName, Field(description="Whole domain, e.g. mysite.com.")]
) -> DomainOffer:
    """Check whether a domain name is available (free, taken), and how much it costs: price of registration and renewal
    per year."""
    return await (await services(ctx)).client.domains.search(q)


async def list_domains(
    ctx: Ctx,
    status: DomainStatus | None = None,
    cloudflare: Annotated[Switch, Field(description="Only those behind Cloudflare, or not.")] | None = None,
    auto_renew: Annotated[Switch, Field(description="Only those with auto-renewal, or without.")] | None = None,
    search: Annotated[Search, Field(description="Part of the domain name.")] | None = None,
    limit: Limit500 | None = None,
    offset: Offset | None = None,
) -> Domains:
    """List the account's domains: which ones it owns, their status and expiry date."""
    page = await (await services(ctx)).client.domains.list(
        limit=limit, offset=offset, status=status, cloudflare=cloudflare, auto_renew=auto_renew, search=search
    )
    rows = [DomainRow.model_validate(domain, from_attributes=True) for domain in page.items]
    return Domains(domains=rows, **paging(page, offset, limit or DEFAULT_OF_500))


async def get_domain(ctx: Ctx, domain_id: DomainId) -> Domain:
    """Get the details of one domain: expiry date, SSL certificate, DNS records and nameservers."""
    return await (await services(ctx)).client.domains.get(domain_id)


async def get_domain_queue(ctx: Ctx, queue_id: QueueId) -> ShownQueueEntry:
    """Get the status and progress of a domain order: registration or renewal. To wait for a registration:
    wait_for_event(domain.registered, domain.failed)."""
    entry = await (await services(ctx)).client.domains.queue(queue_id)
    note = None
    if entry.status in ("pending", "processing"):
        note = UNFINISHED.format(queue_id=queue_id)
    elif entry.status != "completed":
        note = UNDOCUMENTED_STATUS
    return ShownQueueEntry.model_validate({**entry.model_dump(exclude_unset=True), "note": note})


async def set_domain_auto_renewal(ctx: Ctx, domain_id: DomainId, auto_renew: AutoRenew) -> Receipt:
    """Turn a domain's auto-renewal on or off (renew automatically, cancel its subscription), after the person
    approves."""
    request = SetDomainAutoRenewal(auto_renew=auto_renew)
    return await perform(ctx, actions.SetDomainAutoRenewalAction(domain_id=domain_id, request=request))


async def list_dns_records(ctx: Ctx, domain_id: DomainId, offset: Offset | None = None) -> DnsRecords:
    """List a domain's DNS records (zone entries: A, CNAME, MX, TXT) with their ids and what they point to."""
    rows, position = whole(await (await services(ctx)).client.domains.dns(domain_id), offset)
    return DnsRecords(records=rows, **position)


async def create_dns_record(
    ctx: Ctx,
    domain_id: DomainId,
    type: RecordType,
    name: RecordName,
    content: RecordContent,
    ttl: Ttl | None = None,
    proxied: NewProxied | None = None,
) -> CreatedRecord:
    """Add a DNS record: point a domain or subdomain to a server's IP address, set up email (MX) or a TXT entry. To
    change one that exists use update_dns_record."""
    app = await services(ctx)
    record = CreateDnsRecord.of(type=type, name=name, content=content, ttl=ttl, proxied=proxied)
    record, notes = await below_its_domain(app, domain_id, record)
    made = await app.client.domains.create_dns(domain_id, record)
    return CreatedRecord(**made.model_dump(exclude_unset=True), note=_note(record, notes))


async def update_dns_record(
    ctx: Ctx,
    domain_id: DomainId,
    record_id: RecordId,
    type: RecordType | None = None,
    name: RecordName | None = None,
    content: RecordContent | None = None,
    ttl: Ttl | None = None,
    proxied: Proxied | None = None,
) -> Receipt:
    """Change (edit) a DNS record, e.g. the IP address or CNAME that it points to, after the person approves. Fields
    left out stay as they are."""
    app = await services(ctx)
    request = UpdateDnsRecord.of(type=type, name=name, content=content, ttl=ttl, proxied=proxied)
    request = await with_fitting_content(app, domain_id, record_id, request)
    request, _ = await below_its_domain(app, domain_id, request)  # the question shows the name as it is sent
    return await perform(ctx, actions.UpdateDnsRecordAction(domain_id=domain_id, record_id=record_id, request=request))


RecordT = TypeVar("RecordT", CreateDnsRecord, UpdateDnsRecord)


async def below_its_domain(app: Services, domain_id: str, record: RecordT) -> tuple[RecordT, list[str]]:
    """The record with its name relative to the domain, as in the reference, and what to say about it.

    A full name asks the API for the domain's own name.
    """
    if record.name is None or not dns.may_be_whole(record.name):
        return record, []
    domain = (await app.client.domains.get(domain_id)).domain_name
    relative = dns.relative_name(record.name, domain or "")
    if relative == record.name:
        return record, []
    note = f"The name was sent as {relative}: record names are relative to {domain}."
    return record.model_copy(update={"name": relative}), [note]


async def with_fitting_content(
    app: Services, domain_id: str, record_id: str, record: UpdateDnsRecord
) -> UpdateDnsRecord:
    """The change with its content in the form of the record's own type, if the type is not given and could matter.

    Raises:
        InvalidRequestError: the content does not fit the type.
    """
    if record.content is None or record.type is not None or not dns.depends_on_its_type(record.content):
        return record
    listed = await app.client.domains.dns(domain_id)
    type_ = next((known.type for known in listed if known.id == record_id), None)
    return UpdateDnsRecord.of(**record.wire(), type=type_).model_copy(update={"type": None})


def _note(record: CreateDnsRecord, notes: list[str]) -> str | None:
    return " ".join([*notes, *[PRIORITY_UNKNOWN] * (record.type == "MX")]) or None


async def delete_dns_record(ctx: Ctx, domain_id: DomainId, record_id: RecordId) -> Receipt:
    """Delete (remove) a DNS record, e.g. a TXT or CNAME entry, after the person approves."""
    return await perform(ctx, actions.DeleteDnsRecordAction(domain_id=domain_id, record_id=record_id))


async def enable_cloudflare(ctx: Ctx, domain_id: DomainId) -> Receipt:
    """Turn on Cloudflare (CDN, DDoS protection, SSL) for a domain, after the person approves. The API cannot undo
    this, and takes no SSL mode: the answer shows it."""
    return await perform(ctx, actions.EnableCloudflareAction(domain_id=domain_id))


async def set_nameservers(
    ctx: Ctx,
    domain_id: DomainId,
    nameservers: NameserverNames,
) -> Receipt:
    """Change a domain's nameservers (name servers, NS, DNS servers): switch to others, after the person approves. Not
    for domains behind Cloudflare."""
    request = SetNameservers.of(nameservers=nameservers)
    return await perform(ctx, actions.SetNameserversAction(domain_id=domain_id, request=request))


async def register_domain(
    ctx: Ctx,
    domain: Annotated[DomainName, Field(description="Whole domain, e.g. mysite.com.")],
    period: Annotated[int, Field(ge=1, le=10, strict=True, description="Years.")],
    cloudflare: Annotated[Switch, Field(description="True: no nameservers. False: nameservers are required.")],
    auto_renew: Annotated[Switch, Field(description="True commits to yearly renewals.")],
    ssl_mode: Annotated[SslMode, Field(description="With cloudflare only. piv.day names no default.")] | None = None,
    nameservers: Annotated[NameserverNames, Field(description="Without cloudflare only.")] | None = None,
    dns_records: Annotated[list[FirstRecord], at_most(100), Field(description="With cloudflare only.")] | None = None,
) -> Receipt:
    """Register a domain (buy or purchase a domain name, a web address), after the person approves the price.
    search_domain shows it, get_domain_queue the progress."""
    request = RegisterDomain.of(
        domain=domain,
        period=period,
        cloudflare=cloudflare,
        auto_renew=auto_renew,
        ssl_mode=ssl_mode,
        nameservers=nameservers,
        dns_records=None if dns_records is None else [record.model_dump(exclude_none=True) for record in dns_records],
    )
    return await perform(ctx, actions.RegisterDomainAction(request=request))


async def renew_domain(
    ctx: Ctx,
    domain_id: DomainId,
    period: Annotated[int, Field(ge=1, le=10, strict=True, description="Years.")],
) -> Receipt:
    """Renew a domain (extend, prolong, pay for another year), after the person approves the price. get_domain_queue
    shows the progress."""
    return await perform(ctx, actions.RenewDomainAction(domain_id=domain_id, request=RenewDomain.of(period=period)))


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
    write(
        create_dns_record,
        "Add DNS record",
        "POST /domains/{id}/dns",
        destructive=False,
        idempotent=False,
        extra={"priority": NO_PRIORITY},
    ),
    write(
        update_dns_record,
        "Change DNS record",
        "PUT /domains/{id}/dns/{recordId}",
        destructive=True,
        idempotent=True,
        extra={"priority": NO_PRIORITY},
    ),
    write(
        delete_dns_record,
        "Delete DNS record",
        "DELETE /domains/{id}/dns/{recordId}",
        destructive=True,
        idempotent=True,
    ),
    write(
        enable_cloudflare,
        "Enable Cloudflare",
        "POST /domains/{id}/cloudflare",
        destructive=True,
        idempotent=True,
        extra={"enabled": True},
    ),
    write(set_nameservers, "Set nameservers", "POST /domains/{id}/ns-servers", destructive=True, idempotent=True),
    spend(register_domain, "Register a domain", "POST /domains", extra={"priority": NO_PRIORITY}),
    spend(renew_domain, "Renew a domain", "POST /domains/{id}/renew"),
)
