"""Actions on generated sites: create, configure."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from piv_mcp.api import whites as api
from piv_mcp.api.models import LARGE_PAGE
from piv_mcp.api.paging import complete_rows
from piv_mcp.api.whites import Tier, White
from piv_mcp.errors import UnavailableError
from piv_mcp.spending.actions.base import (
    Action,
    Done,
    FollowUp,
    JsonObject,
    OtherActions,
    Proposal,
    Sources,
    to_json,
    wait_for_event,
)
from piv_mcp.spending.actions.evidence import fits
from piv_mcp.spending.messages import message, named
from piv_mcp.spending.quote import FREE, Argument, Price, listed
from piv_mcp.store.pending import Pending, pending

FREE_ARTICLES = 3
"""Articles that the price of a tier with a blog includes (reference, "获取tier列表")."""


class CreateWhiteAction(Action):
    kind: ClassVar[str] = "create_white"
    area: ClassVar[str] = "whites"
    fails_with: ClassVar[str | None] = "white.failed"
    defaults: ClassVar[Mapping[str, object]] = {"quality": "standard"}
    unordered: ClassVar[frozenset[str]] = frozenset({"keywords", "banned_words"})
    caseless: ClassVar[frozenset[str]] = frozenset({"country", "language", "languages", "domain", "email"})
    request: api.CreateWhite

    @property
    def targets(self) -> frozenset[str]:
        names = (" ".join(self.request.name.split()), self.request.domain)
        return frozenset(name.casefold() for name in names if name)

    @property
    def normal_form(self) -> JsonObject:
        normal = super().normal_form
        if normal.get("languages") == [normal["language"]]:
            del normal["languages"]
        return normal

    async def quote(self, sources: Sources) -> Proposal:
        tier = next((tier for tier in await sources.api.whites.tiers() if tier.tier_key == self.request.tier_key), None)
        if tier is None:
            raise UnavailableError(f"there is no tier {self.request.tier_key}", code="INVALID_TIER")
        headline = message("create_white", name=self.request.name, tier=tier.name or tier.tier_key)
        return Proposal(headline=headline, price=self._price(tier))

    def _price(self, tier: Tier) -> Price:
        request = self.request
        first, article = listed(tier.price), listed(tier.extra_article_price)
        extra = max(0, (request.blog_count or 0) - FREE_ARTICLES)
        if first is None or (extra and article is None):
            return Price.unknown("site_unlisted", floor=first)
        amount = first + extra * (article or 0)
        languages = {request.language, *(request.languages or ())}
        unlisted = [
            what
            for what, wanted in (
                ("premium", request.quality == "premium"),
                ("languages", len(request.languages or []) > 1 or len(languages) > 1),
            )
            if wanted
        ]
        if unlisted:
            return Price.unknown(f"{'_and_'.join(unlisted)}_unlisted", floor=amount)
        return Price(amount=amount)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.whites.create(self.request)
        return Done(result=to_json(answer), object_id=answer.white.id)

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        return wait_for_event("white.completed", "white.failed", white_id=made) if made else None

    def begun(self, result: JsonObject, made: str | None) -> Sequence[Pending]:
        return [pending("site", made, name=self.request.name)] if made else ()

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

    def is_about(self, data: Mapping[str, Any], made: str | None) -> bool:
        return made is not None and data.get("job_id") == made

    async def _same(self, sources: Sources) -> list[White]:
        whites = await complete_rows(sources.api.whites.list, LARGE_PAGE, tier_key=self.request.tier_key)
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


class ConfigureWhiteAction(Action):
    kind: ClassVar[str] = "configure_white"
    area: ClassVar[str] = "whites"
    spends: ClassVar[bool] = False
    shows: ClassVar[Literal["soon", "late", "never"]] = "never"
    caseless: ClassVar[frozenset[str]] = frozenset({"domain", "email"})
    white_id: str
    request: api.WhiteConfig

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.white_id})

    async def quote(self, sources: Sources) -> Proposal:
        white = await sources.api.whites.get(self.white_id)
        now = (Argument(name="domain", value=white.domain),) if white.domain else ()
        return Proposal(headline=message("configure_white", site=named(white.id, white.name)), price=FREE, now=now)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.whites.config(self.white_id, self.request)
        return Done(result={**to_json(answer), "set": self.request.wire()})

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        return None  # the API does not show a site's contact details


ACTIONS = (CreateWhiteAction, ConfigureWhiteAction)
