"""Generated sites ("whites")."""

from typing import Annotated, Literal

from pydantic import Field

from piv_mcp.api.models import Acknowledged
from piv_mcp.api.whites import Tier, White, WhiteConfig, WhiteDownload
from piv_mcp.services import services
from piv_mcp.tools.answers import Answer, Listing, paging
from piv_mcp.tools.parameters import DomainName, Limit500, Line, Offset, TierKey, WhiteId
from piv_mcp.tools.tool import Ctx, read, write


class Tiers(Answer):
    tiers: list[Tier]


class Whites(Listing):
    whites: list[White]


async def list_white_tiers(ctx: Ctx) -> Tiers:
    """List the kinds of site that can be generated, with price per site and per extra article in US dollars."""
    return Tiers(tiers=await (await services(ctx)).client.whites.tiers())


async def list_whites(
    ctx: Ctx,
    status: Literal["queued", "processing", "done", "failed"] | None = None,
    tier_key: TierKey | None = None,
    limit: Limit500 | None = None,
    offset: Offset | None = None,
) -> Whites:
    """List generated sites and the ones in the making."""
    client = (await services(ctx)).client
    page = await client.whites.list(limit=limit, offset=offset, status=status, tier_key=tier_key)
    return Whites(whites=page.items, **paging(page, offset))


async def get_white(ctx: Ctx, white_id: WhiteId) -> White:
    """Get one generated site. Status 0 is queued and 10 done; wait_for_event(white.completed) waits for the end."""
    return await (await services(ctx)).client.whites.get(white_id)


async def get_white_download(
    ctx: Ctx,
    white_id: WhiteId,
    format: Annotated[Line, Field(pattern="^[a-z0-9]{1,20}$", description="Only php is documented.")] = "php",
) -> WhiteDownload:
    """Get a download link for a finished site's archive. It works for about 5 minutes; call again for a new one."""
    return await (await services(ctx)).client.whites.download(white_id, format=format)


async def configure_white(
    ctx: Ctx,
    white_id: WhiteId,
    company: Annotated[Line, Field(max_length=200)] | None = None,
    domain: DomainName | None = None,
    email: Annotated[Line, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None,
    phone: Annotated[Line, Field(max_length=50)] | None = None,
    address: Annotated[Line, Field(max_length=300)] | None = None,
    legal: Annotated[Line, Field(max_length=200, description="Legal name.")] | None = None,
) -> Acknowledged:
    """Change a site's domain and contact details without generating it again. Fields left out stay as they are."""
    config = WhiteConfig.of(company=company, domain=domain, email=email, phone=phone, address=address, legal=legal)
    return await (await services(ctx)).client.whites.config(white_id, config)


TOOLS = (
    read(list_white_tiers, "Site tiers and prices", "GET /whites/tiers"),
    read(list_whites, "Sites", "GET /whites"),
    read(get_white, "Site", "GET /whites/{id}"),
    read(get_white_download, "Site download link", "GET /whites/{id}/download"),
    write(configure_white, "Configure site", "POST /whites/{id}/config", destructive=True, idempotent=True),
)
