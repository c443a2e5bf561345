"""What piv.day sells in the sandbox, and its prices in dollars.

The reference gives some prices twice and others not at all. The sandbox chooses:
- SE costs the listed 4.00 a month, although the reference's purchase example charges the base price.
- Restoring a number costs one and a half months.
- A verification costs 1.00.
- Premium quality multiplies the tier's price by 1.5, but not the price of extra articles and languages.
- Each language after the first costs 2.00.
"""

from dataclasses import dataclass
from decimal import Decimal

RESTORE_MULTIPLIER = Decimal("1.5")
VERIFY_PRICE = Decimal("1.00")
PREMIUM_MULTIPLIER = Decimal("1.5")
EXTRA_LANGUAGE_PRICE = Decimal("2.00")
INCLUDED_ARTICLES = 3


@dataclass(frozen=True)
class SandboxCountry:
    country_code: str
    price_per_month: Decimal
    base_price: Decimal
    sms_send_price: Decimal | None
    """For one SMS. None if numbers of this country cannot send."""
    dial: str
    """The first digits of its phone numbers, with `+`."""
    digits: int
    """How many digits follow `dial`."""
    in_stock: bool = True
    for_sale: bool = True
    """False: no longer listed, sold or renewed. The account may still own numbers of this country."""


@dataclass(frozen=True)
class SandboxProxyServer:
    id: str
    name: str
    country: str
    price_per_proxy: Decimal
    host: str
    ipv6_prefix: str
    socks5_port: int = 1080
    http_port: int = 3128


@dataclass(frozen=True)
class SandboxTier:
    tier_key: str
    name: str
    price: Decimal
    min_articles: int = 0
    max_articles: int = 0
    extra_article_price: Decimal | None = None


@dataclass(frozen=True)
class TopLevelDomain:
    """Prices of its domains for one year."""

    create_price: Decimal
    renew_price: Decimal


def _country(
    code: str, price: str, base: str, sms: str | None, dial: str, digits: int, *, in_stock: bool = True
) -> SandboxCountry:
    return SandboxCountry(
        code, Decimal(price), Decimal(base), Decimal(sms) if sms else None, dial, digits, in_stock=in_stock
    )


SANDBOX_COUNTRIES = (
    _country("SE", "4.00", "5.00", "0.25", "+467647", 5),
    _country("GB", "3.00", "3.00", "0.20", "+447400", 6),
    _country("CA", "3.50", "4.00", "0.15", "+1604555", 4),
    _country("US", "2.50", "3.00", None, "+1415555", 4),
    _country("NL", "4.50", "5.50", "0.30", "+316123", 5, in_stock=False),
)

SANDBOX_SERVERS = (
    SandboxProxyServer(
        "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "EU-DE-01",
        "DE",
        Decimal("0.50"),
        host="185.1.2.3",
        ipv6_prefix="2a00:1:2:3",
    ),
    SandboxProxyServer(
        "b2c3d4e5-f6a7-8901-bcde-f12345678901",
        "EU-NL-01",
        "NL",
        Decimal("0.45"),
        host="185.4.5.6",
        ipv6_prefix="2a00:4:5:6",
    ),
)

SANDBOX_TIERS = (
    SandboxTier("v2_tier1", "Landing", Decimal("3.00")),
    SandboxTier("v2_tier2", "Multi-page", Decimal("6.00")),
    SandboxTier("v2_tier3", "Full + Blog", Decimal("10.00"), INCLUDED_ARTICLES, 20, Decimal("1.50")),
)

SANDBOX_TOP_LEVEL_DOMAINS = {
    "com": TopLevelDomain(Decimal("12.50"), Decimal("12.50")),
    "org": TopLevelDomain(Decimal("11.00"), Decimal("12.00")),
    "xyz": TopLevelDomain(Decimal("2.50"), Decimal("13.00")),
}
ANY_OTHER = ""
SANDBOX_TOP_LEVEL_DOMAINS[ANY_OTHER] = TopLevelDomain(Decimal("20.00"), Decimal("20.00"))
