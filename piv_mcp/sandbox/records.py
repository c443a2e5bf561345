"""What an account owns. A status that time decides is computed, never stored."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from piv_mcp.sandbox.prices import Server


@dataclass
class Message:
    id: int
    from_number: str
    to_number: str
    message_body: str
    direction: Literal["inbound", "outbound"]
    status: str
    received_at: datetime


@dataclass
class Number:
    piv_num_id: str
    phone_number: str
    country_code: str
    created_at: datetime
    expires_at: datetime
    auto_renew: bool = False
    custom_name: str | None = None
    tags: list[str] = field(default_factory=list[str])
    restoring: bool = False
    messages: list[Message] = field(default_factory=list[Message])

    def status(self, now: datetime) -> str:
        """`pending_restore` is read as "is being restored"; a number that could be restored is `expired`."""
        if self.restoring:
            return "pending_restore"
        return "active" if now < self.expires_at else "expired"


@dataclass(frozen=True)
class Proxy:
    login: str
    password: str
    ipv6: str


@dataclass
class Order:
    id: str
    server: Server
    quantity: int
    price_total: Decimal
    purchased_at: datetime
    expires_at: datetime
    proxies: list[Proxy]

    def status(self, now: datetime) -> str:
        return "active" if now < self.expires_at else "expired"


@dataclass
class DnsRecord:
    id: str
    type: str
    name: str
    content: str
    ttl: int = 1
    priority: int | None = None
    proxied: bool = False


@dataclass
class Domain:
    id: str
    name: str
    period: int
    created_at: datetime
    updated_at: datetime
    auto_renew: bool
    cloudflare: bool
    ssl_mode: str | None = None
    nameservers: list[str] = field(default_factory=list[str])
    records: list[DnsRecord] = field(default_factory=list[DnsRecord])
    registered_at: datetime | None = None
    expires_at: datetime | None = None

    def status(self, now: datetime) -> str:
        if self.expires_at is None:
            return "purchasing"
        return "active" if now < self.expires_at else "expired"


@dataclass
class QueueEntry:
    id: str
    domain: Domain
    status: Literal["pending", "processing", "completed", "failed"] = "pending"
    error: str | None = None


@dataclass
class White:
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
