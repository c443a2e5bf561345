"""The action that generates a site."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from piv_mcp.api import whites as api
from piv_mcp.api.models import LARGE_PAGE
from piv_mcp.api.paging import all_rows
from piv_mcp.api.whites import White
from piv_mcp.errors import UnavailableError
from piv_mcp.spending.actions.base import Action, Done, JsonObject, OtherActions, Sources, to_json
from piv_mcp.spending.actions.evidence import fits
from piv_mcp.spending.quote import Price

FREE_ARTICLES = 3
"""Articles that the price of a tier with a blog includes (reference, "获取tier列表")."""


class CreateWhiteAction(Action):
    kind: ClassVar[str] = "create_white"
    area: ClassVar[str] = "whites"
    fails_with: ClassVar[str | None] = "white.failed"
    request: api.CreateWhite

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        request = self.request
        tier = next((tier for tier in await sources.api.whites.tiers() if tier.tier_key == request.tier_key), None)
        if tier is None:
            raise UnavailableError(f"there is no tier {request.tier_key}", code="INVALID_TIER")
        languages: list[str] = list(dict.fromkeys([request.language, *(request.languages or ())]))
        words = (
            f"Generate the site {request.name!r}: {tier.name or tier.tier_key}, {request.quality or 'standard'}, "
            f"niche {request.niche!r}, {request.country}, in {', '.join(languages)}"
        )
        extra = max(0, (request.blog_count or 0) - FREE_ARTICLES)
        if request.blog_count:
            words += f", {request.blog_count} articles"
        if tier.price is None or (extra and tier.extra_article_price is None):
            return words, Price.unknown("no listed price", floor=tier.price)
        listed = tier.price + extra * (tier.extra_article_price or 0)
        unlisted = [
            what
            for what, wanted in (
                ("premium quality", request.quality == "premium"),
                ("further languages", len(request.languages or []) > 1 or len(languages) > 1),
            )
            if wanted
        ]
        if unlisted:
            reason = f"{' and '.join(unlisted)} cost more; how much more is not listed"
            return words, Price.unknown(reason, floor=listed)
        return words, Price(amount=listed)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.whites.create(self.request)
        return Done(result=to_json(answer), object_id=answer.white.id)

    async def before(self, sources: Sources) -> JsonObject:
        return {"ids": [white.id for white in await self._same(sources)]}

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        known = others.made.union(before["ids"])
        for white in await self._same(sources):
            if white.id not in known:
                return Done(
                    result=to_json(white),
                    object_id=white.id,
                    evidence=f"a new site, {white.id}, is on the account",
                )
        return None

    def refund(self, data: Mapping[str, Any], made: str | None, charged: Decimal) -> Decimal | None:
        return charged if made is not None and data.get("job_id") == made else None

    async def _same(self, sources: Sources) -> list[White]:
        whites, _ = await all_rows(sources.api.whites.list, LARGE_PAGE, tier_key=self.request.tier_key)
        return [white for white in whites if self._fits(white)]

    def _fits(self, white: White) -> bool:
        """Whether this action can have created the site: the name is equal, and the other fields agree if shown."""
        wanted = self.request
        return (
            white.name == wanted.name
            and fits(white.niche, wanted.niche)
            and fits(white.country, wanted.country)
            and fits(white.language, wanted.language)
            and fits(white.quality, wanted.quality or "standard")
            and fits(white.domain, wanted.domain)
        )


ACTIONS = (CreateWhiteAction,)
