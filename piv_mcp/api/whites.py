"""Generated sites ("whites"): reference section "白页"."""

import re
from typing import Annotated, Literal, Self, cast, get_args

from pydantic import Field, computed_field, model_validator

from piv_mcp.api.endpoint import Endpoint, beside, page_of, under
from piv_mcp.api.group import EndpointGroup
from piv_mcp.api.models import (
    Acknowledged,
    CountryCode,
    LargeLimit,
    Model,
    Money,
    NonEmpty,
    Offset,
    Page,
    Request,
    UtcDatetime,
)

TierKey = Literal["v2_tier1", "v2_tier2", "v2_tier3"]
WhiteStatus = Literal["queued", "processing", "done", "failed"]
"""The words that `list` can filter by. Answers hold integers; the reference shows 0 (queued) and 10 (done)."""
_DONE = 10
Quality = Literal["standard", "premium"]
ContactsMode = Literal["same", "template"]

Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")]
"""ISO 639-1."""
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]


class Tier(Model):
    """`price` is for one site of standard quality in one language, with `min_articles` articles.

    The prices of premium quality and of further languages are not documented.
    """

    tier_key: str
    name: str | None = None
    generator_version: str | None = None
    min_articles: int | None = None
    max_articles: int | None = None
    price: Money | None = None
    extra_article_price: Money | None = None


class White(Model):
    """A site, or the job that generates it. `status` is an integer in the reference; a word is accepted, too."""

    id: str
    name: str | None = None
    status: int | str | None = None
    tier_key: str | None = None
    quality: str | None = None
    niche: str | None = None
    country: str | None = None
    language: str | None = None
    domain: str | None = None
    result_url: str | None = None
    created_at: UtcDatetime | None = None

    @computed_field(description="The status in a word.")
    @property
    def state(self) -> Literal[WhiteStatus, "unknown"]:
        """The reference shows 0 and 10; from 1 to 9 and below 0 are read as the two words that are left."""
        text = str(self.status)
        if text in get_args(WhiteStatus):
            return cast("WhiteStatus", text)
        if not re.fullmatch("-?[0-9]{1,9}", text) or int(text) > _DONE:
            return "unknown"
        number = int(text)
        return "failed" if number < 0 else "queued" if number == 0 else "done" if number == _DONE else "processing"


class CreateWhite(Request):
    name: Annotated[str, Field(min_length=2, max_length=20)]
    tier_key: TierKey
    niche: Annotated[str, Field(min_length=1, max_length=25)]
    country: CountryCode
    language: Language
    quality: Quality | None = None
    languages: list[Language] | None = None
    domain: NonEmpty | None = None
    email: NonEmpty | None = None
    phone: NonEmpty | None = None
    address: NonEmpty | None = None
    legal_name: NonEmpty | None = None
    style_hint: NonEmpty | None = None
    keywords: list[NonEmpty] | None = None
    banned_words: list[NonEmpty] | None = None
    blog_count: Annotated[int, Field(ge=3, le=20)] | None = None
    contacts_mode: ContactsMode | None = None
    contacts_template: NonEmpty | None = None
    facebook: Url | None = None
    instagram: Url | None = None
    linkedin: Url | None = None
    youtube: Url | None = None
    tiktok: Url | None = None

    @model_validator(mode="after")
    def _fields_that_need_another(self) -> Self:
        if self.blog_count is not None and self.tier_key != "v2_tier3":
            raise ValueError("blog_count is only for tier_key v2_tier3")
        if self.contacts_template is not None and self.contacts_mode != "template":
            raise ValueError("contacts_template is only for contacts_mode template")
        return self


class WhiteCreation(Model):
    """`status` is a word here, and an integer in `white`. The answer does not include the cost."""

    status: str | None = None
    white: White


class WhiteDownload(Model):
    """A signed link, valid for about 5 minutes: anyone who has the link can download the site."""

    url: Annotated[str, Field(repr=False)]
    filename: str | None = None
    format: str | None = None
    expires_at: UtcDatetime | None = None


class WhiteConfig(Request):
    """The fields of the reference's only example; which of them are required is not documented. `CreateWhite` has
    one field, `legal_name`, for `company` and `legal`."""

    company: NonEmpty | None = None
    domain: NonEmpty | None = None
    email: NonEmpty | None = None
    phone: NonEmpty | None = None
    address: NonEmpty | None = None
    legal: NonEmpty | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.wire():
            raise ValueError("pass at least one of company, domain, email, phone, address, legal")
        return self


class WhitesQuery(Request):
    limit: LargeLimit | None = None
    offset: Offset | None = None
    status: WhiteStatus | None = None
    tier_key: TierKey | None = None


class WhiteDownloadQuery(Request):
    format: NonEmpty | None = None


TIERS = Endpoint("GET", "/whites/tiers", list[Tier], under("tiers"))
LIST = Endpoint("GET", "/whites", Page[White], page_of("whites"), confidential=True)
CREATE = Endpoint("POST", "/whites", WhiteCreation, confidential=True)
GET = Endpoint("GET", "/whites/{id}", White, under("white"), confidential=True)
DOWNLOAD = Endpoint("GET", "/whites/{id}/download", WhiteDownload, confidential=True)
CONFIG = Endpoint("POST", "/whites/{id}/config", Acknowledged, beside, undocumented=True)


class WhitesApi(EndpointGroup):
    async def tiers(self) -> list[Tier]:
        """The kinds of sites that can be generated, with prices."""
        return await self._call(TIERS)

    async def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        status: WhiteStatus | None = None,
        tier_key: TierKey | None = None,
    ) -> Page[White]:
        """Sites of the account. `limit` 1 to 500, by default 100."""
        return await self._call(LIST, query=WhitesQuery, limit=limit, offset=offset, status=status, tier_key=tier_key)

    async def create(self, request: CreateWhite) -> WhiteCreation:
        """Queue the generation of a site; charged at once. Raises `InsufficientBalanceError`."""
        return await self._call(CREATE, body=request)

    async def get(self, white_id: str) -> White:
        """One site and its progress."""
        return await self._call(GET, white_id)

    async def download(self, white_id: str, *, format: str | None = None) -> WhiteDownload:
        """A link to the archive, valid for about 5 minutes. The default format, `php`, is the only documented one.

        Raises `ConflictError` until the site is done.
        """
        return await self._call(DOWNLOAD, white_id, query=WhiteDownloadQuery, format=format)

    async def config(self, white_id: str, request: WhiteConfig) -> Acknowledged:
        """Change the company and contacts of a site without generating it again."""
        return await self._call(CONFIG, white_id, body=request)
