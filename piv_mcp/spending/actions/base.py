"""What the gate can do: actions as data. An action can be stored, quoted, sent once, and looked for afterwards."""

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
"""A person's word. To cancel is to close the question without a word: it declines, too."""

Shown = dict[str, Any]
"""JSON that the API showed."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where an action is carried out and looked for."""

    api: "PivClient"
    store: Store
    clock: Clock = SYSTEM_CLOCK

    async def balance(self) -> Decimal | None:
        """The account's balance, in US dollars. Raises `ApiError`."""
        return (await self.api.account.get()).balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An action that happened. `cost` where the API or an event says it, `object_id` of what it made."""

    result: Shown = field(default_factory=dict[str, Any])
    cost: Decimal | None = None
    object_id: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Rivals:
    """Other entries of the journal that can have made what `look` finds."""

    made: frozenset[str] = frozenset()
    """Objects that an entry is known to have made."""
    done: "tuple[Action, ...]" = ()
    """Actions that happened since."""
    open: "tuple[Action, ...]" = ()
    """Actions that may have happened since."""
    unexplained: "tuple[Action, ...]" = ()
    """Actions of the same kind that were charged since an hour before, and that no event has settled or refunded: an
    event may be theirs."""


class Ambiguous(Exception):
    """Something happened, and it fits another story as well."""


class Action(BaseModel, ABC):
    """One action with its exact arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    """The name of its tool."""
    area: ClassVar[str]
    spends: ClassVar[bool] = True
    """Costs money, now or later; otherwise it changes something for good at price 0."""
    visible: ClassVar[bool] = True
    """The API shows soon afterwards whether it happened; otherwise the balance may be all that does."""

    fails_with: ClassVar[str | None] = None
    """The event by which piv.day says that it failed after it was charged, and that money was given back."""

    @property
    def commits(self) -> bool:
        """Lets piv.day charge again and again from now on."""
        return False

    @property
    def fingerprint(self) -> str:
        """Equal for the same action with the same arguments."""
        return hashlib.sha256(f"{self.kind}\n{self.model_dump_json()}".encode()).hexdigest()

    @abstractmethod
    async def quote(self, sources: Sources) -> tuple[str, Price]:
        """The action in exact words, and its price.

        Raises:
            ApiError: it cannot be done (not available, no such number), or the price cannot be read.
        """

    @abstractmethod
    async def send(self, sources: Sources) -> Done:
        """Do it: exactly one request.

        Raises:
            OutcomeUnknownError: it may have been done.
            ApiError: it was not done.
        """

    async def before(self, sources: Sources) -> Shown:
        """What to remember so that `look` can tell afterwards whether it happened."""
        return {}

    @abstractmethod
    async def look(self, sources: Sources, before: Mapping[str, Any], since: float, rivals: Rivals) -> Done | None:
        """What shows that it happened, after a request at `since` (seconds) whose answer was lost; None if nothing.

        Raises:
            Ambiguous: something shows that may as well come from one of the `rivals`, or from piv.day itself.
        """

    def refund(self, data: Mapping[str, Any], made: str | None, charged: Decimal) -> Decimal | None:
        """What an event of the type `fails_with` gives back of `charged`; None if it is not about this action.

        `made` is the id of what the action made.
        """
        return None


def shown(model: BaseModel) -> Shown:
    """An answer for the journal, as it came: nothing that was not in it, no nulls, secrets masked."""
    return model.model_dump(mode="json", exclude_none=True, exclude_unset=True)
