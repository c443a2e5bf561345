"""The state of the account just before an action is sent, and how far the balance has fallen since."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from piv_mcp.api.readings import Span
from piv_mcp.spending.actions.base import Action, JsonObject, Sources
from piv_mcp.store import journal
from piv_mcp.store.journal import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of the account just before a request: the balance in US dollars, and the action's object as `shown` by
    the API. Both were read between `began` and `ended` (seconds since the epoch)."""

    balance: Decimal | None
    began: float
    ended: float
    shown: JsonObject

    @classmethod
    async def take(cls, action: Action, sources: Sources, *, may_share: bool) -> Self:
        """Read the state of the account now. With `may_share`, what was read for any action in the last seconds, and
        since the last write of this process, serves too. Raises `ApiError`."""
        span = Span()
        read = sources.recent(span) if may_share else sources
        began = sources.clock.time()
        shown = await action.before(read)
        balance = await read.balance()
        began = began if span.began is None else span.began
        return cls(balance=balance, began=began, ended=sources.clock.time(), shown=shown)

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """The snapshot that was stored with the entry; empty if there is none."""
        kept: dict[str, Any] = json.loads(entry.before or "{}")
        sent_at = entry.sent_at or 0.0
        read = kept.get("read") or {"began": sent_at, "ended": sent_at}
        balance = kept.get("balance")
        return cls(
            balance=None if balance is None else Decimal(balance),
            began=read["began"],
            ended=read["ended"],
            shown=kept.get("shown", {}),
        )

    def dump(self) -> str:
        """The snapshot as JSON, for the journal."""
        kept = {
            "balance": None if self.balance is None else str(self.balance),
            "read": {"began": self.began, "ended": self.ended},
            "shown": self.shown,
        }
        return json.dumps(kept, ensure_ascii=False)


async def balance_fall(
    entry: Entry, sources: Sources, *, may_share: bool = False
) -> tuple[Decimal | None, list[Entry]]:
    """How far the balance fell since just before the request, without the charges of other entries; and those entries.
    With `may_share`, the balance is one that was read for any action since the last write of this process.

    The fall, in US dollars, is None if it cannot be known: another entry may have changed the balance, by an unknown
    amount or at an unknown time.
    """
    before = Snapshot.of(entry)
    span = Span()
    began = sources.clock.time()
    balance = await (sources.recent(span) if may_share else sources).balance()
    began = began if span.began is None else min(began, span.began)
    others = await sources.store.read(journal.moved_balance_since, entry, before.began)
    if balance is None or before.balance is None:
        return None, others
    fall = before.balance - balance
    for other in others:
        if other.state != "charged" or (other.charged is not None and not Decimal(other.charged)):
            continue
        in_between = (other.sent_at or 0.0) >= before.ended and (other.settled_at or 0.0) < began
        if other.charged is None or not in_between:
            return None, others
        fall -= Decimal(other.charged)
    if fall != 0 and any(other.state in ("executing", "unknown") for other in others):
        return None, others
    return fall, others
