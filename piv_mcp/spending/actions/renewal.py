"""What every renewal has in common: it shows as an expiry that moved."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from piv_mcp.spending.actions.base import Action, Done, Rivals, Shown, Sources
from piv_mcp.spending.actions.evidence import extended
from piv_mcp.text.times import utc


class RenewalAction(Action):
    auto: ClassVar[int | None] = None
    """By how many months auto-renewal moves the expiry, where there is such a setting."""

    @property
    @abstractmethod
    def target(self) -> str:
        """The id of what is renewed."""

    @property
    @abstractmethod
    def months(self) -> int:
        """By how many months."""

    @abstractmethod
    async def view(self, sources: Sources) -> Shown:
        """What is renewed, as the API shows it, with its `expires_at`."""

    async def before(self, sources: Sources) -> Shown:
        return await self.view(sources)

    async def look(self, sources: Sources, before: Mapping[str, Any], since: float, rivals: Rivals) -> Done | None:
        now = await self.view(sources)
        done, possible = self._terms(rivals.done), self._terms(rivals.open)
        evidence = extended(before, now, self.months, done, possible, at=utc(sources.clock.time()), auto=self.auto)
        return Done(result=now, evidence=evidence) if evidence else None

    def _terms(self, rivals: Sequence[Action]) -> list[int]:
        """Of other renewals of the same."""
        return [other.months for other in rivals if isinstance(other, type(self)) and other.target == self.target]
