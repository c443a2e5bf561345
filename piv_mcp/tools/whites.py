"""Tools of generated sites ("whites")."""

from typing import Annotated

from pydantic import AfterValidator, Field

from piv_mcp.api.whites import (
    ContactsMode,
    CreateWhite,
    Quality,
    Tier,
    TierKey,
    White,
    WhiteConfig,
    WhiteDownload,
    WhiteStatus,
)
from piv_mcp.services import services
from piv_mcp.spending.actions import whites as actions
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.spending.receipt import Receipt
from piv_mcp.text.hosts import host_name
from piv_mcp.tools.answers import Answer, Listing, paging
from piv_mcp.tools.parameters import (
    DEFAULT_OF_500,
    CountryCode,
    DomainName,
    Limit500,
    Line,
    Offset,
    Text,
    WhiteId,
    at_most,
    limited,
    lower,
)
from piv_mcp.tools.spec import Ctx, perform, read, spend, write

Language = Annotated[
    str,
    limited(2, least=2, form="[A-Za-z]{2}", words="two letters, such as de"),
    Field(description="Two-letter ISO 639-1 code."),
]


def _normal_host(email: str) -> str:
    local, _, host = email.rpartition("@")
    return f"{local}@{host_name(host)}"


Email = Annotated[
    Line,
    limited(254, form=r"[^@\s]+@[^@\s]+", words="an address, such as me@example.com"),
    AfterValidator(_normal_host),
]
Phone = Annotated[Line, limited(50)]
Address = Annotated[Line, limited(300)]
LegalName = Annotated[Line, limited(200), Field(description="Of the company, by law.")]
SiteDomain = Annotated[DomainName, Field(description="Whole domain, e.g. mysite.com.")]
Link = Annotated[Line, limited(300, form=r"https?://[^\s/]\S*", words="a link, such as https://example.com/me")]
Words = Annotated[list[Annotated[Line, limited(100)]], at_most(100)]


TIER_PRICES = (
    "In US dollars, for standard quality in one language, with min_articles articles. What premium quality and each"
    " further language cost is not listed."
)


class Tiers(Answer):
    tiers: list[Tier]
    note: str = TIER_PRICES


class Whites(Listing):
    ROWS = "whites"

    whites: list[White]


async def list_white_tiers(ctx: Ctx) -> Tiers:
    """List the kinds (tiers, packages) of site that can be generated, and how much a website costs: price per site and
    per extra article in US dollars."""
    return Tiers(tiers=await (await services(ctx)).client.whites.tiers())


async def list_whites(
    ctx: Ctx,
    status: WhiteStatus | None = None,
    tier_key: TierKey | None = None,
    limit: Limit500 | None = None,
    offset: Offset | None = None,
) -> Whites:
    """List generated sites (websites, landing pages) and those being generated."""
    client = (await services(ctx)).client
    page = await client.whites.list(limit=limit, offset=offset, status=status, tier_key=tier_key)
    return Whites(whites=page.items, **paging(page, offset, limit or DEFAULT_OF_500))


class ShownWhite(White):
    follow_up: FollowUp | None = None


async def get_white(ctx: Ctx, white_id: WhiteId) -> ShownWhite:
    """Get the progress of one generated site: `state` says whether the website is ready. To wait:
    wait_for_event(white.completed, white.failed)."""
    white = await (await services(ctx)).client.whites.get(white_id)
    download = FollowUp(tool="get_white_download", arguments={"white_id": white_id})
    return ShownWhite.model_validate({**white.model_dump(), "follow_up": download if white.state == "done" else None})


async def get_white_download(
    ctx: Ctx,
    white_id: WhiteId,
    format: Annotated[
        str,
        AfterValidator(lower),
        limited(20, form="[a-z0-9]+", words="one word, such as php"),
        Field(description="Only php is documented."),
    ] = "php",
) -> WhiteDownload:
    """Get a link to download a finished site's files (website archive, zip). It works for about 5 minutes; call again
    for a new one."""
    return await (await services(ctx)).client.whites.download(white_id, format=format)


async def configure_white(
    ctx: Ctx,
    white_id: WhiteId,
    company: Annotated[Line, limited(200), Field(description="Name shown on the site.")] | None = None,
    domain: SiteDomain | None = None,
    email: Email | None = None,
    phone: Phone | None = None,
    address: Address | None = None,
    legal: LegalName | None = None,
) -> Receipt:
    """Change a site's domain and contact details (company, email, phone, address of the website), after the person
    approves. Whether fields left out are kept is not documented: pass all."""
    request = WhiteConfig.of(company=company, domain=domain, email=email, phone=phone, address=address, legal=legal)
    return await perform(ctx, actions.ConfigureWhiteAction(white_id=white_id, request=request))


async def create_white(
    ctx: Ctx,
    name: Annotated[Line, limited(20, least=2), Field(description="Name of the task, 2 to 20 characters.")],
    tier_key: Annotated[TierKey, Field(description="From list_white_tiers.")],
    niche: Annotated[Line, limited(25), Field(description="What the site is about, up to 25 characters.")],
    country: CountryCode,
    language: Language,
    quality: Annotated[Quality, Field(description="Default standard; premium costs more.")] | None = None,
    languages: Annotated[list[Language], at_most(20), Field(description="All of them; the first is in the price.")]
    | None = None,
    domain: SiteDomain | None = None,
    email: Email | None = None,
    phone: Phone | None = None,
    address: Address | None = None,
    legal_name: LegalName | None = None,
    style_hint: Annotated[Line, limited(200), Field(description="Design, e.g. corporate or minimalist.")] | None = None,
    keywords: Annotated[Words, Field(description="For search engines (SEO).")] | None = None,
    banned_words: Annotated[Words, Field(description="Not to be used in the texts.")] | None = None,
    blog_count: Annotated[int, Field(ge=3, le=20, strict=True, description="v2_tier3 only; 3 are in the price.")]
    | None = None,
    contacts_mode: Annotated[
        ContactsMode, Field(description="template needs contacts_template. What same means is not documented.")
    ]
    | None = None,
    contacts_template: Annotated[Text, limited(5000), Field(description="With contacts_mode template only.")]
    | None = None,
    facebook: Link | None = None,
    instagram: Link | None = None,
    linkedin: Link | None = None,
    youtube: Link | None = None,
    tiktok: Link | None = None,
) -> Receipt:
    """Generate a site (create, make or build a website, landing page or white page), after the person approves the
    price. list_white_tiers shows tiers, get_white the progress."""
    request = CreateWhite.of(
        name=name,
        tier_key=tier_key,
        niche=niche,
        country=country.upper(),
        language=language.lower(),
        quality=quality,
        languages=None if languages is None else [code.lower() for code in languages],
        domain=domain,
        email=email,
        phone=phone,
        address=address,
        legal_name=legal_name,
        style_hint=style_hint,
        keywords=keywords,
        banned_words=banned_words,
        blog_count=blog_count,
        contacts_mode=contacts_mode,
        contacts_template=contacts_template,
        facebook=facebook,
        instagram=instagram,
        linkedin=linkedin,
        youtube=youtube,
        tiktok=tiktok,
    )
    return await perform(ctx, actions.CreateWhiteAction(request=request))


TOOLS = (
    read(list_white_tiers, "Site tiers and prices", "GET /whites/tiers"),
    read(list_whites, "Sites", "GET /whites"),
    read(get_white, "Site", "GET /whites/{id}"),
    read(get_white_download, "Site download link", "GET /whites/{id}/download"),
    write(configure_white, "Configure site", "POST /whites/{id}/config", destructive=True, idempotent=True),
    spend(create_white, "Generate a site", "POST /whites"),
)
