"""The action that restores expired numbers."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from piv_mcp.api import numbers as api
from piv_mcp.api.events import NumberRestoreCompleted, RestoredNumber
from piv_mcp.api.numbers import Number
from piv_mcp.errors import NotFoundError
from piv_mcp.spending.actions.base import (
    Action,
    Ambiguous,
    Done,
    FollowUp,
    JsonObject,
    OtherActions,
    Proposal,
    Sources,
    to_json,
    wait_for_event,
)
from piv_mcp.spending.actions.numbers import named_number
from piv_mcp.spending.messages import message
from piv_mcp.spending.quote import Price, listed
from piv_mcp.store.pending import Pending, pending


class RestoreNumbersAction(Action):
    kind: ClassVar[str] = "restore_numbers"
    area: ClassVar[str] = "numbers"
    fails_with: ClassVar[str | None] = "number.restore_completed"
    unordered: ClassVar[frozenset[str]] = frozenset({"piv_num_ids"})
    request: api.RestoreNumbers

    @property
    def targets(self) -> frozenset[str]:
        return frozenset(self.request.piv_num_ids)

    @property
    def sole_use(self) -> frozenset[str]:
        return self.targets

    async def quote(self, sources: Sources) -> Proposal:
        numbers = await self._found(sources)
        rents = {
            country.country_code: listed(country.price_per_month) for country in await sources.api.numbers.countries()
        }
        parts = {
            id_: rent for id_, number in numbers.items() if (rent := rents.get(number.country_code or "")) is not None
        }
        missing = [id_ for id_ in self.request.piv_num_ids if id_ not in numbers]
        return Proposal(
            headline=message(
                "restore_some_numbers" if missing else "restore_numbers",
                numbers=[named_number(number) for number in numbers.values()],
                missing=missing,
            ),
            price=Price.unknown("restore_unlisted", floor=sum(parts.values(), Decimal(0)) or None, parts=parts),
        )

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.numbers.restore(self.request)
        return Done(result=to_json(answer), cost=answer.total_charged)

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        queued = (row["piv_num_id"] for row in result.get("numbers", ()))  # the others were skipped
        return wait_for_event("number.restore_completed", number=next(queued, self.request.piv_num_ids[0]))

    def begun(self, result: JsonObject, made: str | None) -> Sequence[Pending]:
        listed, queued = [row["piv_num_id"] for row in result.get("numbers", ())], result.get("queued")
        ids = listed if len(listed) >= (queued or 0) and listed else self.request.piv_num_ids
        subject = ids[0] if len(ids) == 1 else None
        return [pending("restore", ",".join(sorted(ids)), subject, numbers=ids, queued=queued or len(listed) or None)]

    def rented(self, result: JsonObject) -> Sequence[str]:
        return [row["piv_num_id"] for row in result.get("numbers", ())]

    async def before(self, sources: Sources) -> JsonObject:
        return {id_: to_json(number) for id_, number in (await self._found(sources)).items()}

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        ids = set(self.request.piv_num_ids)
        shared = any(
            isinstance(other, RestoreNumbersAction) and ids.intersection(other.request.piv_num_ids)
            for other in (*others.done, *others.open)
        )
        for id_, found in (await self._found(sources)).items():
            number, old = to_json(found), before.get(id_)
            if old is None:
                continue
            if shared and number != old:
                raise Ambiguous
            # `pending_restore` can mean "can be restored" or "is being restored", so only a change is evidence.
            if number.get("status") != old.get("status"):
                change = f"the status of {id_} changed from {old.get('status')} to {number.get('status')}"
                return Done(result=number, evidence=change)
            if number.get("expires_at", "") > old.get("expires_at", ""):  # both are UTC in one form
                return Done(result=number, evidence=f"the expiry of {id_} changed to {number['expires_at']}")
        return None

    def is_about(self, data: Mapping[str, Any], made: str | None) -> bool:
        return bool(self._failed(data))

    def refund(self, data: Mapping[str, Any], charged: Decimal) -> Decimal:
        return sum((max(Decimal(0), row.refunded or Decimal(0)) for row in self._failed(data)), Decimal(0))

    def _failed(self, data: Mapping[str, Any]) -> list[RestoredNumber]:
        """Those of the numbers whose restore failed, as the event says."""
        failed = NumberRestoreCompleted.model_validate(data).failed
        return [row for row in failed if row.piv_num_id in self.request.piv_num_ids]

    async def _found(self, sources: Sources) -> dict[str, Number]:
        """The numbers by id. A restore skips unknown numbers, and fails if all are unknown; so does this.

        Raises:
            NotFoundError: none of the numbers is on the account.
        """
        found: dict[str, Number] = {}
        unknown: NotFoundError | None = None
        for id_ in self.request.piv_num_ids:
            try:
                found[id_] = await sources.api.numbers.get(id_)
            except NotFoundError as error:
                unknown = error
        if not found and unknown is not None:
            raise unknown
        return found


ACTIONS = (RestoreNumbersAction,)
