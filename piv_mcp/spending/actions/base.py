"""The base class of the actions that pass the gate. An action is data: it can be stored, quoted, sent once, and looked
for on the account afterwards."""

import hashlib
import json
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import BaseModel, ConfigDict

from piv_mcp.api.events import EventType
from piv_mcp.api.models import Request
from piv_mcp.api.readings import Span
from piv_mcp.spending.messages import Message
from piv_mcp.spending.quote import Argument, Price
from piv_mcp.store import Store
from piv_mcp.store.pending import Pending
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

    def recent(self, span: Span | None = None) -> "Sources":
        """The same, where reads of the API may share the answers of the last seconds, but none from before a write of
        this process. `span` then tells when they were read."""
        return Sources(self.api.recent(span or Span()), self.store, self.clock)

    def prompt(self) -> "Sources":
        """The same, where a request is sent within `RECENT_SECONDS` from now or not at all."""
        return Sources(self.api.prompt(), self.store, self.clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An action as a person is asked for it. `now` is what it changes or deletes."""

    headline: Message
    price: Price
    now: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An action that happened. `cost` in US dollars, if the API or an event says it; `object_id` of the object that it
    created; `evidence` in words, if it was looked for."""

    result: JsonObject = field(default_factory=dict[str, Any])
    cost: Decimal | None = None
    object_id: str | None = None
    evidence: str | None = None


class FollowUp(BaseModel):
    """The call that an action leads to, ready to be made."""

    model_config = ConfigDict(frozen=True)

    tool: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class OtherActions:
    """Other actions of the journal that could explain what `look` finds."""

    made: frozenset[str] = frozenset()
    """The ids of objects that entries are known to have created."""
    done: "tuple[Action, ...]" = ()
    """Actions that happened since the request."""
    open: "tuple[Action, ...]" = ()
    """Actions that may have happened since the request: executing or unknown."""
    earlier: "tuple[Action, ...]" = ()
    """Actions of the same kind that happened in the hour before the request, and whose effect may show only now."""


class Ambiguous(Exception):
    """A change was found that another entry could also explain."""


class Action(BaseModel, ABC):
    """One action with its exact arguments: the ids of its target, and the `request` that is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    """The name of its tool."""
    area: ClassVar[str]
    spends: ClassVar[bool] = True
    """Whether the action costs money, now or later. If not, it is an irreversible change that costs nothing."""
    shows: ClassVar[Literal["soon", "late", "never"]] = "soon"
    """When the API's lists and records show that the action happened."""
    fails_with: ClassVar[str | None] = None
    """The type of the event that reports that the action failed after it was charged, and was refunded."""
    defaults: ClassVar[Mapping[str, object]] = {}
    """Values that mean the same as to leave the argument out."""
    unordered: ClassVar[frozenset[str]] = frozenset()
    """Lists whose order means nothing."""
    caseless: ClassVar[frozenset[str]] = frozenset()
    """Texts whose upper and lower case mean the same."""

    @property
    def has_recurring_charges(self) -> bool:
        """Whether the action turns auto-renewal on, so that piv.day charges again later."""
        return False

    @property
    def costs_money(self) -> bool:
        """Whether the action costs money, now or later."""
        return self.spends or self.has_recurring_charges

    @property
    def arguments(self) -> JsonObject:
        """Every argument of the action, by name."""
        fields: JsonObject = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            fields |= value.wire() if isinstance(value, Request) else {name: value}
        return fields

    @property
    def normal_form(self) -> JsonObject:
        """The arguments in one form for all that mean the same: no defaults, no empty values, no white space around
        texts, and one order where order means nothing."""
        normal = {name: self._normal(name, value) for name, value in self.arguments.items()}
        return {
            name: value
            for name, value in normal.items()
            if value not in (None, "", []) and value != self.defaults.get(name)
        }

    @property
    def fingerprint(self) -> str:
        """Equal for the same action with arguments that mean the same."""
        text = json.dumps(self.normal_form, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(f"{self.kind}\n{text}".encode()).hexdigest()

    @property
    @abstractmethod
    def targets(self) -> frozenset[str]:
        """What the action acts on: two actions of a kind that share a target may be one wish in other words."""

    @property
    def sole_use(self) -> frozenset[str]:
        """The ids of numbers with which it does what an agent that has leased one of them has for itself alone."""
        return frozenset()

    def _normal(self, name: str, value: object) -> object:
        if isinstance(value, str):
            text = unicodedata.normalize("NFC", value.replace("\r\n", "\n")).strip()
            return text.casefold() if name in self.caseless else text
        if isinstance(value, Mapping):
            fields = cast("Mapping[str, object]", value)
            return {key: self._normal(key, item) for key, item in fields.items() if item not in (None, "", [])}
        if isinstance(value, list):
            items = [self._normal(name, item) for item in cast("list[object]", value)]
            return sorted(items, key=_order) if name in self.unordered else items
        return value

    @abstractmethod
    async def quote(self, sources: Sources) -> Proposal:
        """The action as a person is asked for it.

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

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        """The call for what the action began; None if it is over. `made` is the id of the object that it created. What
        waits goes on from before the action: its `after` is added where cursors are known."""
        return None

    def begun(self, result: JsonObject, made: str | None) -> Sequence[Pending]:
        """What the action began at piv.day and has not ended with its answer: it is looked at until it does."""
        return ()

    def rented(self, result: JsonObject) -> Sequence[str]:
        """The ids of the numbers that the action has brought to the account."""
        return ()

    def is_about(self, data: Mapping[str, Any], made: str | None) -> bool:
        """Whether an event with this data, of the type `fails_with`, can be about this action.
        `made` is the id of the object that the action created."""
        return False

    def refund(self, data: Mapping[str, Any], charged: Decimal) -> Decimal:
        """How much of `charged` an event of the type `fails_with` about this action says was refunded, in US
        dollars."""
        return charged


def wait_for_event(*types: EventType, **ids: str) -> FollowUp:
    return FollowUp(tool="wait_for_event", arguments={"types": [*types], **ids})


def _order(item: object) -> str:
    return json.dumps(item, ensure_ascii=False, sort_keys=True)


def to_json(model: BaseModel) -> JsonObject:
    """An answer of the API for the journal: only the fields that it had, without nulls, with secrets masked."""
    return model.model_dump(mode="json", exclude_none=True, exclude_unset=True)
