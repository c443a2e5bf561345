"""The base class of the actions that pass the gate. An action is data: it can be stored, quoted, sent once, and looked
for on the account afterwards."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from piv_mcp.spending.quote import Price
from piv_mcp.store import Store
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from piv_mcp.api.client import PivClient

Decision = Literal["approve", "decline", "cancel"]
"""A person's decision. `cancel`: the person closed the question without an answer, which declines too."""

JsonObject = dict[str, Any]
"""A JSON object from the API."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What an action uses to be carried out and looked for: the API, the store and the clock."""

    api: "PivClient"
    store: Store
    clock: Clock = SYSTEM_CLOCK

    async def balance(self) -> Decimal | None:
        """The account's balance, in US dollars. Raises `ApiError`."""
        return (await self.api.account.get()).balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An action that happened. `cost` in US dollars, if the API or an event says it; `object_id` of the object that it
    created; `evidence` in words, if it was looked for."""

    result: JsonObject = field(default_factory=dict[str, Any])
    cost: Decimal | None = None
    object_id: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class OtherActions:
    """Other actions of the journal that could explain what `look` finds."""

    made: frozenset[str] = frozenset()
    """The ids of objects that entries are known to have created, and of events that settled or refunded entries."""
    done: "tuple[Action, ...]" = ()
    """Actions that happened since the request."""
    open: "tuple[Action, ...]" = ()
    """Actions that may have happened since the request: executing or unknown."""
    unexplained: "tuple[Action, ...]" = ()
    """Actions of the same kind, charged since an hour before the request, that no event has settled or refunded. A new
    event may be about one of them."""


class Ambiguous(Exception):
    """A change was found that another entry could also explain."""


class Action(BaseModel, ABC):
    """One action with its exact arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    """The name of its tool."""
    area: ClassVar[str]
    spends: ClassVar[bool] = True
    """Whether the action costs money, now or later. If not, it is an irreversible change that costs nothing."""
    visible: ClassVar[bool] = True
    """Whether the API soon shows that the action happened. If not, only the balance or an event may show it."""

    fails_with: ClassVar[str | None] = None
    """The type of the event that reports that the action failed after it was charged, and was refunded."""

    @property
    def has_recurring_charges(self) -> bool:
        """Whether the action turns auto-renewal on, so that piv.day charges again later."""
        return False

    @property
    def fingerprint(self) -> str:
        """Equal for the same action with the same arguments."""
        return hashlib.sha256(f"{self.kind}\n{self.model_dump_json()}".encode()).hexdigest()

    @abstractmethod
    async def quote(self, sources: Sources) -> tuple[str, Price]:
        """A description of the action for the person, and its price.

        Raises:
            ApiError: the action is not possible (not available, no such number), or the price cannot be read.
        """

    @abstractmethod
    async def send(self, sources: Sources) -> Done:
        """Carry out the action with exactly one request.

        Raises:
            OutcomeUnknownError: the action may have happened.
            ApiError: the action did not happen.
        """

    async def before(self, sources: Sources) -> JsonObject:
        """What the API shows before the request, for `look` to compare with."""
        return {}

    @abstractmethod
    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        """Look for the effect of a request whose answer was lost. It was sent at `since` (seconds since the epoch).

        Returns None if the account shows no effect. `before` is the result of the method `before`.

        Raises:
            Ambiguous: a change was found that one of the `others`, or piv.day itself, could also explain.
        """

    def refund(self, data: Mapping[str, Any], made: str | None, charged: Decimal) -> Decimal | None:
        """How much of `charged` an event of the type `fails_with` refunds, in US dollars.

        Returns None if the event is not about this action. `made` is the id of the object that the action created.
        """
        return None


def to_json(model: BaseModel) -> JsonObject:
    """An answer of the API for the journal: only the fields that it had, without nulls, with secrets masked."""
    return model.model_dump(mode="json", exclude_none=True, exclude_unset=True)
