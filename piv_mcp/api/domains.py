"""Domains and their DNS: reference section "域名"."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from piv_mcp.api.endpoint import Endpoint, beside, page_of, under
from piv_mcp.api.group import EndpointGroup
from piv_mcp.api.models import (
    Acknowledged,
    Flag,
    LargeLimit,
    Model,
    Money,
    NonEmpty,
    Offset,
    Page,
    Request,
    UtcDatetime,
)
from piv_mcp.api.text import as_object
from piv_mcp.text.dns import record_content, relative_name

DomainStatus = Literal["active", "pending", "expired"]
"""The statuses that `list` can filter by; answers may hold others, such as `purchasing`."""
SslMode = Literal["flexible", "full", "strict"]


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("names a server twice; at least 2 different ones are needed")
    return names


NameserverList = Annotated[list[NonEmpty], Field(min_length=2), AfterValidator(_distinct)]


class DomainOffer(Model):
    """The price of several years is not documented."""

    domain: str
    available: bool | None = None
    create_price: Money | None = None
    renew_price: Money | None = None
    currency: str | None = None


class DnsRecord(Model):
    """`id` is missing in the records of a `Domain`. `ttl` is in seconds; 1 means automatic."""

    id: str | None = None
    type: str | None = None
    name: str | None = None
    content: str | None = None
    ttl: int | None = None
    priority: int | None = None
    proxied: bool | None = None


class Nameserver(Model):
    """The reference does not show the form of a domain's nameservers, so a bare name is accepted, too."""

    nameserver: str
    order_index: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"nameserver": value} if isinstance(value, str) else value


class Domain(Model):
    """A domain as listed. The answer to a registration holds some of the fields, and `period`, in years.
    Only a domain without Cloudflare has `nameservers`."""

    id: str
    domain_name: str | None = None
    status: str | None = None
    period: int | None = None
    registered_at: UtcDatetime | None = None
    expires_at: UtcDatetime | None = None
    auto_renew: bool | None = None
    cloudflare_enabled: bool | None = None
    cloudflare_status: str | None = None
    ssl_type: str | None = None
    ssl_status: str | None = None
    ssl_mode: str | None = None
    ssl_expires_at: UtcDatetime | None = None
    created_at: UtcDatetime | None = None
    updated_at: UtcDatetime | None = None
    dns_records: list[DnsRecord] = Field(default_factory=list[DnsRecord])
    nameservers: list[Nameserver] = Field(default_factory=list[Nameserver])


class CreateDnsRecord(Request):
    """A DNS record to create, also as part of a registration.

    Answers hold a `priority`, but the reference documents it for no request, so none is sent. What piv.day does
    with an `MX` record without a priority is unknown.
    """

    type: NonEmpty
    name: NonEmpty
    content: NonEmpty
    ttl: Annotated[int, Field(ge=1)] | None = None
    proxied: bool | None = None

    @field_validator("content")
    @classmethod
    def _of_its_type(cls, value: str, info: ValidationInfo) -> str:
        return record_content(info.data.get("type", ""), value)


class UpdateDnsRecord(Request):
    """The fields to overwrite, at least one. The reference shows only `content`, and documents no `priority`. The
    content is checked only if the type is given."""

    type: NonEmpty | None = None
    name: NonEmpty | None = None
    content: NonEmpty | None = None
    ttl: Annotated[int, Field(ge=1)] | None = None
    proxied: bool | None = None

    @field_validator("content")
    @classmethod
    def _of_its_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value and record_content(info.data.get("type") or "", value)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.wire():
            raise ValueError("pass at least one of type, name, content, ttl, proxied")
        return self


class RegisterDomain(Request):
    """`period` is in years."""

    domain: NonEmpty
    period: Annotated[int, Field(ge=1, le=10)]
    cloudflare: bool
    auto_renew: bool
    ssl_mode: SslMode | None = None
    nameservers: NameserverList | None = None
    dns_records: list[CreateDnsRecord] | None = None

    @field_validator("dns_records")
    @classmethod
    def _below_the_domain(
        cls, records: list[CreateDnsRecord] | None, info: ValidationInfo
    ) -> list[CreateDnsRecord] | None:
        domain = str(info.data.get("domain", ""))
        return records and [
            record.model_copy(update={"name": relative_name(record.name, domain)}) for record in records
        ]

    @model_validator(mode="after")
    def _one_way_of_dns(self) -> Self:
        if self.cloudflare and self.nameservers is not None:
            raise ValueError("nameservers must be left out when cloudflare is true")
        if not self.cloudflare:
            if self.dns_records is not None:
                raise ValueError("dns_records must be left out when cloudflare is false")
            if self.ssl_mode is not None:
                raise ValueError("ssl_mode must be left out when cloudflare is false")
            if self.nameservers is None:
                raise ValueError("nameservers (at least 2) are required when cloudflare is false")
        return self


class DomainRegistration(Model):
    """The answer does not include the cost."""

    queue_id: str
    domain: Domain | None = None


class QueueEntry(Model):
    """The progress of a registration or renewal. `domain` is set once `status` is `completed`; until then only
    `domain_name` is known. The reference shows no failed entry; `error` holds the reason if the server sends one."""

    queue_id: str | None = None
    status: str | None = None
    domain_name: str | None = None
    domain: Domain | None = None
    error: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_or_domain(cls, value: object) -> object:
        entry = as_object(value)
        if entry is None:
            return value
        entry = {**entry, "error": entry.get("error") or entry.get("error_message")}
        domain = as_object(entry.get("domain"))
        if domain is None:
            return {**entry, "domain_name": entry.get("domain") or entry.get("domain_name"), "domain": None}
        return {**entry, "domain_name": domain.get("domain_name")}


class RenewDomain(Request):
    """`period` is in years. The reference gives no maximum here."""

    period: Annotated[int, Field(ge=1)]


class DomainRenewal(Model):
    """`expires_at` seems to be the old date in the reference. The answer does not include the cost."""

    queue_id: str
    domain_id: str | None = None
    expires_at: UtcDatetime | None = None


class SetDomainAutoRenewal(Request):
    auto_renew: bool


class DomainAutoRenewal(Model):
    id: str | None = None
    auto_renew: bool | None = None


class EnableCloudflare(Request):
    """Cloudflare cannot be turned off through the API, so `false` is never sent."""

    enabled: Literal[True]


class CloudflareEnabled(Model):
    domain_id: str | None = None
    ssl_mode: str | None = None


class SetNameservers(Request):
    nameservers: NameserverList


class DnsRecordUpdated(Acknowledged):
    """The answer is not documented: the server may send the record, under `record` or bare."""

    record: DnsRecord | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        answer = as_object(value)
        return value if answer is None or "content" not in answer else {**answer, "record": answer}


class DomainSearchQuery(Request):
    q: NonEmpty


class DomainsQuery(Request):
    limit: LargeLimit | None = None
    offset: Offset | None = None
    status: DomainStatus | None = None
    cloudflare: Flag | None = None
    auto_renew: Flag | None = None
    search: str | None = None


SEARCH = Endpoint("GET", "/domains/search", DomainOffer)
LIST = Endpoint("GET", "/domains", Page[Domain], page_of("domains"))
REGISTER = Endpoint("POST", "/domains", DomainRegistration)
QUEUE = Endpoint("GET", "/domains/queue/{id}", QueueEntry)
GET = Endpoint("GET", "/domains/{id}", Domain, under("domain"))
RENEW = Endpoint("POST", "/domains/{id}/renew", DomainRenewal)
SET_AUTO_RENEW = Endpoint("POST", "/domains/{id}/auto-renew", DomainAutoRenewal)
DNS = Endpoint("GET", "/domains/{id}/dns", list[DnsRecord], under("records"))
CREATE_DNS = Endpoint("POST", "/domains/{id}/dns", DnsRecord, under("record"))
UPDATE_DNS = Endpoint("PUT", "/domains/{id}/dns/{recordId}", DnsRecordUpdated, beside, undocumented=True)
DELETE_DNS = Endpoint("DELETE", "/domains/{id}/dns/{recordId}", Acknowledged, beside, undocumented=True)
ENABLE_CLOUDFLARE = Endpoint("POST", "/domains/{id}/cloudflare", CloudflareEnabled)
SET_NAMESERVERS = Endpoint("POST", "/domains/{id}/ns-servers", list[Nameserver], under("nameservers"))


class DomainsApi(EndpointGroup):
    async def search(self, q: str) -> DomainOffer:
        """Whether a domain such as `mysite.com` can be registered, and the price of a year."""
        return await self._call(SEARCH, query=DomainSearchQuery, q=q)

    async def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        status: DomainStatus | None = None,
        cloudflare: bool | None = None,
        auto_renew: bool | None = None,
        search: str | None = None,
    ) -> Page[Domain]:
        """Domains of the account. `limit` 1 to 500, by default 100."""
        return await self._call(
            LIST,
            query=DomainsQuery,
            limit=limit,
            offset=offset,
            status=status,
            cloudflare=cloudflare,
            auto_renew=auto_renew,
            search=search,
        )

    async def register(self, request: RegisterDomain) -> DomainRegistration:
        """Order a domain; poll `queue` for the outcome. Raises `UnavailableError`, `InsufficientBalanceError`."""
        return await self._call(REGISTER, body=request)

    async def queue(self, queue_id: str) -> QueueEntry:
        """The progress of a registration or a renewal."""
        return await self._call(QUEUE, queue_id)

    async def get(self, domain_id: str) -> Domain:
        """One domain with its DNS records, or with its nameservers if it is not on Cloudflare."""
        return await self._call(GET, domain_id)

    async def renew(self, domain_id: str, request: RenewDomain) -> DomainRenewal:
        """Add years to a domain; poll `queue` for the outcome."""
        return await self._call(RENEW, domain_id, body=request)

    async def set_auto_renew(self, domain_id: str, request: SetDomainAutoRenewal) -> DomainAutoRenewal:
        """Turn automatic renewal on or off."""
        return await self._call(SET_AUTO_RENEW, domain_id, body=request)

    async def dns(self, domain_id: str) -> "list[DnsRecord]":
        """The DNS records, as Cloudflare has them."""
        return await self._call(DNS, domain_id)

    async def create_dns(self, domain_id: str, request: CreateDnsRecord) -> DnsRecord:
        """Add a DNS record."""
        return await self._call(CREATE_DNS, domain_id, body=request)

    async def update_dns(self, domain_id: str, record_id: str, request: UpdateDnsRecord) -> DnsRecordUpdated:
        """Overwrite the given fields of a DNS record."""
        return await self._call(UPDATE_DNS, domain_id, record_id, body=request)

    async def delete_dns(self, domain_id: str, record_id: str) -> Acknowledged:
        """Delete a DNS record."""
        return await self._call(DELETE_DNS, domain_id, record_id)

    async def enable_cloudflare(self, domain_id: str) -> CloudflareEnabled:
        """Put the domain on Cloudflare. It cannot be taken off through the API."""
        return await self._call(ENABLE_CLOUDFLARE, domain_id, body=EnableCloudflare(enabled=True))

    async def set_nameservers(self, domain_id: str, request: SetNameservers) -> "list[Nameserver]":
        """Replace the domain's nameservers."""
        return await self._call(SET_NAMESERVERS, domain_id, body=request)
