"""The account that a sandbox begins with. Its dates are relative to now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from piv_mcp.sandbox import numbers, proxies, registration, sms, whites
from piv_mcp.sandbox.records import SandboxDnsRecord, SandboxDomain, SandboxNumber, SandboxWhite
from piv_mcp.sandbox.state import State

DAY = timedelta(days=1)


@dataclass(frozen=True)
class _Planned:
    country: str
    name: str | None
    bought: int
    """How many days ago."""
    left: int
    """Days until the expiry; negative after the expiry."""
    tags: tuple[str, ...] = ()
    auto_renew: bool = False


_NUMBERS: Sequence[_Planned] = (
    _Planned("SE", "Office line", bought=12, left=18, tags=("support",)),
    _Planned("GB", "Ads", bought=40, left=20, tags=("google", "ads"), auto_renew=True),
    _Planned("CA", None, bought=3, left=27),
    _Planned("US", "Sign-ups", bought=25, left=5),
    _Planned("SE", "Old campaign", bought=33, left=-3),
    _Planned("GB", "Retired", bought=80, left=-20),
)


def seed_account(state: State) -> None:
    office, ads, *_ = [_seed_number(state, planned) for planned in _NUMBERS]
    _seed_history(state, office, ads)
    _seed_orders(state)
    _seed_domains(state)
    _seed_whites(state)
    state.agenda.forget_past()


def _seed_number(state: State, planned: _Planned) -> SandboxNumber:
    now = state.clock.now()
    country = state.countries[planned.country]
    with state.clock.held_at(now - planned.bought * DAY):
        number = numbers.add_number(state, country, now + planned.left * DAY, planned.name)
    number.tags = list(planned.tags)
    number.auto_renew = planned.auto_renew
    return number


def _seed_history(state: State, office: SandboxNumber, ads: SandboxNumber) -> None:
    now = state.clock.now()
    with state.clock.held_at(now - timedelta(hours=30)):
        sms.receive(state, office, "G-204815 is your Google verification code.", "Google", "204815", state.clock.now())
    with state.clock.held_at(now - timedelta(hours=26)):
        greeting = sms.add_outbound(state, office, "+14155551234", "Hello from piv.day")
    with state.clock.held_at(now - timedelta(hours=25)):
        sms.receive(state, office, "Hey, got your message!", "+14155551234", None, state.clock.now())
        sms.receive(state, ads, "Your WhatsApp code: 771-902", "WhatsApp", None, state.clock.now())
    with state.clock.held_at(now - timedelta(hours=2)):
        sms.receive(state, ads, "558310 is your Facebook code", "Facebook", "558310", state.clock.now())
    greeting.status = "delivered"


def _seed_orders(state: State) -> None:
    now = state.clock.now()
    german, dutch = state.servers.values()
    with state.clock.held_at(now - 10 * DAY):
        proxies.add_order(state, german, quantity=3, months=1)
    with state.clock.held_at(now - 33 * DAY):
        proxies.add_order(state, dutch, quantity=2, months=1)


def _seed_domains(state: State) -> None:
    now = state.clock.now()
    with state.clock.held_at(now - 100 * DAY):
        site = _new_domain(state, "mysite.com", cloudflare=True)
    with state.clock.held_at(now - 30 * DAY):
        other = _new_domain(state, "other-host.org", cloudflare=False)
    site.ssl_mode = "full"
    site.records = [
        SandboxDnsRecord(state.ids.uuid("dns record"), "A", "@", "1.2.3.4", proxied=True),
        SandboxDnsRecord(state.ids.uuid("dns record"), "CNAME", "www", "mysite.com", proxied=True),
        SandboxDnsRecord(state.ids.uuid("dns record"), "MX", "@", "mail.mysite.com", priority=10),
    ]
    other.nameservers = ["ns1.myhost.com", "ns2.myhost.com"]


def _new_domain(state: State, name: str, *, cloudflare: bool) -> SandboxDomain:
    now = state.clock.now()
    domain = SandboxDomain(state.ids.uuid("domain"), name, 1, now, now, auto_renew=cloudflare, cloudflare=cloudflare)
    state.domains[domain.id] = domain
    registration.open_domain(state, domain, years=1)
    return domain


def _seed_whites(state: State) -> None:
    now = state.clock.now()
    for name, status, age in (("My White", 10, 9 * DAY), ("Landing DE", 3, timedelta(minutes=2))):
        white = SandboxWhite(
            id=state.ids.uuid("white"),
            name=name,
            tier_key="v2_tier3" if status == 10 else "v2_tier1",
            quality="standard",
            niche="IT Consulting",
            country="DE",
            language="de",
            domain="mysite.com" if status == 10 else None,
            created_at=now - age,
            status=status,
        )
        state.whites[white.id] = white
        if status < whites.WHITE_DONE:
            state.agenda.after(3600, partial(whites.plan_progress, state, white, state.tiers[white.tier_key].price, 10))
