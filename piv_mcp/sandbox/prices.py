"""What piv.day sells in the sandbox, and for how much.

The reference prices some things twice and others not at all; these are the sandbox's picks. SE costs the
listed 4.00 a month (the purchase example charges the base price); restoring costs one and a half months; a
verification 1.00; premium quality half as much again, on the tier's price alone; each further language
2.00.
"""

from dataclasses import dataclass
from decimal import Decimal

RESTORE_MULTIPLIER = Decimal("1.5")
VERIFY_PRICE = Decimal("1.00")
PREMIUM_MULTIPLIER = Decimal("1.5")
EXTRA_LANGUAGE_PRICE = Decimal("2.00")
INCLUDED_ARTICLES = 3


@dataclass(frozen=True)
class Country:
    country_code: str
    price_per_month: Decimal
    base_price: Decimal
    sms_send_price: Decimal | None
    """None: numbers of this country cannot send."""
    dial: str
    """How its phone numbers begin."""
    digits: int
    """How many digits follow."""
    in_stock: bool = True
    for_sale: bool = True
    """False: in no list, and not for purchase or renewal any more; the account can have numbers there."""


@dataclass(frozen=True)
class Server:
    id: str
    name: str
    country: str
    price_per_proxy: Decimal
    host: str
    ipv6_prefix: str
    socks5_port: int = 1080
    http_port: int = 3128


@dataclass(frozen=True)
class Tier:
    tier_key: str
    name: str
    price: Decimal
    min_articles: int = 0
    max_articles: int = 0
    extra_article_price: Decimal | None = None


@dataclass(frozen=True)
class Ending:
    """A top-level domain."""

    create_price: Decimal
    renew_price: Decimal


def _country(
    code: str, price: str, base: str, sms: str | None, dial: str, digits: int, *, in_stock: bool = True
) -> Country:
    return Country(code, Decimal(price), Decimal(base), Decimal(sms) if sms else None, dial, digits, in_stock=in_stock)


COUNTRIES = (
    _country("SE", "4.00", "5.00", "0.25", "+467647", 5),
    _country("GB", "3.00", "3.00", "0.20", "+447400", 6),
    _country("CA", "3.50", "4.00", "0.15", "+1604555", 4),
    _country("US", "2.50", "3.00", None, "+1415555", 4),
    _country("NL", "4.50", "5.50", "0.30", "+316123", 5, in_stock=False),
)

SERVERS = (
    Server(
        "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "EU-DE-01",
        "DE",
        Decimal("0.50"),
        host="185.1.2.3",
        ipv6_prefix="2a00:1:2:3",
    ),
    Server(
        "b2c3d4e5-f6a7-8901-bcde-f12345678901",
        "EU-NL-01",
        "NL",
        Decimal("0.45"),
        host="185.4.5.6",
        ipv6_prefix="2a00:4:5:6",
    ),
)

TIERS = (
    Tier("v2_tier1", "Landing", Decimal("3.00")),
    Tier("v2_tier2", "Multi-page", Decimal("6.00")),
    Tier("v2_tier3", "Full + Blog", Decimal("10.00"), INCLUDED_ARTICLES, 20, Decimal("1.50")),
)

_ENDINGS = {
    "com": Ending(Decimal("12.50"), Decimal("12.50")),
    "org": Ending(Decimal("11.00"), Decimal("12.00")),
    "xyz": Ending(Decimal("2.50"), Decimal("13.00")),
}


def ending_of(domain: str) -> Ending:
    return _ENDINGS.get(domain.rpartition(".")[2], Ending(Decimal("20.00"), Decimal("20.00")))
