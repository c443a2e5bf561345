"""What an account owns. A status that depends on the time is computed, not stored."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from piv_mcp.sandbox.prices import SandboxProxyServer


@dataclass
class SandboxSms:
    id: int
    from_number: str
    to_number: str
    message_body: str
    direction: Literal["inbound", "outbound"]
    status: str
    received_at: datetime


@dataclass
class SandboxNumber:
    piv_num_id: str
    phone_number: str
    country_code: str
    created_at: datetime
    expires_at: datetime
    auto_renew: bool = False
    custom_name: str | None = None
    tags: list[str] = field(default_factory=list[str])
    restoring: bool = False
    messages: list[SandboxSms] = field(default_factory=list[SandboxSms])

    def status(self, now: datetime) -> str:
        """The sandbox reads `pending_restore` as "a restore is running". A number that can be restored is `expired`."""
        if self.restoring:
            return "pending_restore"
        return "active" if now < self.expires_at else "expired"


@dataclass(frozen=True)
class SandboxProxy:
    login: str
    password: str
    ipv6: str


@dataclass
class SandboxOrder:
    id: str
    server: SandboxProxyServer
    quantity: int
    price_total: Decimal
    purchased_at: datetime
    expires_at: datetime
    proxies: list[SandboxProxy]

    def status(self, now: datetime) -> str:
        return "active" if now < self.expires_at else "expired"


@dataclass
class SandboxDnsRecord:
    id: str
    type: str
    name: str
    content: str
    ttl: int = 1
    priority: int | None = None
    proxied: bool = False


@dataclass
class SandboxDomain:
    id: str
    name: str
    period: int
    created_at: datetime
    updated_at: datetime
    auto_renew: bool
    cloudflare: bool
    ssl_mode: str | None = None
    nameservers: list[str] = field(default_factory=list[str])
    records: list[SandboxDnsRecord] = field(default_factory=list[SandboxDnsRecord])
    registered_at: datetime | None = None
    expires_at: datetime | None = None

    def status(self, now: datetime) -> str:
        if self.expires_at is None:
            return "purchasing"
        return "active" if now < self.expires_at else "expired"


@dataclass
class SandboxQueueEntry:
    id: str
    domain: SandboxDomain
    status: Literal["pending", "processing", "completed", "failed"] = "pending"
    error: str | None = None


@dataclass
class SandboxWhite:
    id: str
    name: str
    tier_key: str
    quality: str
    niche: str
    country: str
    language: str
    domain: str | None
    created_at: datetime
    status: int = 0
    contacts: dict[str, str] = field(default_factory=dict[str, str])
