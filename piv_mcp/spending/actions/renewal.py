"""The base class of renewals, which show as a later expiry date."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from piv_mcp.spending.actions.base import Action, Done, JsonObject, OtherActions, Sources
from piv_mcp.spending.actions.evidence import renewal_evidence
from piv_mcp.text.times import utc


class RenewalAction(Action):
    """A renewal of the object `target_id` by `months`."""

    auto_renewal_months: ClassVar[int | None] = None
    """By how many months auto-renewal extends the object; None if the object has no auto-renewal."""

    @property
    @abstractmethod
    def target_id(self) -> str:
        """The id of the renewed object."""

    @property
    @abstractmethod
    def months(self) -> int:
        """How many months the renewal adds."""

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.target_id})

    @abstractmethod
    async def read_target(self, sources: Sources) -> JsonObject:
        """The renewed object as the API shows it, with its `expires_at`."""

    async def before(self, sources: Sources) -> JsonObject:
        return await self.read_target(sources)

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        now = await self.read_target(sources)
        evidence = renewal_evidence(
            before,
            now,
            self.months,
            done=self._months_of(others.done),
            possible=self._months_of(others.open),
            at=utc(sources.clock.time()),
            auto_renewal_months=self.auto_renewal_months,
        )
        return Done(result=now, evidence=evidence) if evidence else None

    def _months_of(self, others: Sequence[Action]) -> list[int]:
        """The months of those actions that renew the same object."""
        return [other.months for other in others if isinstance(other, type(self)) and other.target_id == self.target_id]
