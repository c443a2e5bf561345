"""What is to be told: found from the journal, the inbox and the account, and noted in the store."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from piv_mcp.config import Notified, Settings
from piv_mcp.errors import PermissionDeniedError, PivError
from piv_mcp.spending.commitments import READERS, Commitment
from piv_mcp.store import Connection, Store, notice_rows
from piv_mcp.store.event import SMS_RECEIVED, StoredEvent
from piv_mcp.store.spending_pages import is_zero
from piv_mcp.text.times import DAY_SECONDS, Clock, utc

if TYPE_CHECKING:
    from collections.abc import Hashable

    from piv_mcp.api.client import PivClient

ANYWAY_SECONDS = 60.0
"""The store is looked at so often even if nothing was committed that somebody may wait for."""

BALANCE_SECONDS = 3600.0
"""Between two looks at the balance, unless something was charged. A low balance is told once in it at most: what is
charged and refunded around the threshold would tell it each time."""

EXPIRY_SECONDS = 6 * 3600.0
"""Between two looks at what the account's lists show: some requests."""

ACCOUNT_AGAIN_SECONDS = 60.0
"""Until an account that could not be read is looked at again."""

EXPIRY_LEAD = timedelta(days=3)
"""So long before something ends it is told, unless piv.day tells it earlier."""

GUESSES, GUESSING_SECONDS = 20, 3600.0
"""So many wrong webhook secrets within such a time are told, once in it."""

WAITS = "state = 'quoted' AND quoted_at >= ?"
COST = f"state IN ('charged', 'unknown') AND settled_at >= ? AND NOT {is_zero('coalesce(charged, price)')}"
"""Conditions of entries: what waits for a decision, and what cost money or may have."""


@dataclass(frozen=True, slots=True)
class NewNotice:
    """Something to be told. `facts` is what its text is made of, if that stands nowhere else in the store."""

    event: Notified
    subject: str
    facts: str | None = None


class Finder:
    """Finds what is to be told to these addresses."""

    def __init__(
        self, settings: Settings, store: Store, api: "PivClient | None", addresses: Sequence[str], clock: Clock
    ) -> None:
        self._wanted = frozenset(settings.notify_events)
        self._least = settings.notify_balance
        self._store = store
        self._api = api
        self._addresses = addresses
        self._clock = clock
        self._marker: Hashable = None
        self._looked_at = self._ask_balance_at = self._ask_lists_at = float("-inf")

    async def look(self) -> None:
        """Note what has come to be told since the last look.

        Raises:
            PivError: the store cannot be used, or the account not be read; a later look finds the same.
        """
        now, marker = self._clock.monotonic(), await self._store.marker()
        if marker != self._marker or now - self._looked_at > ANYWAY_SECONDS:
            found = await self._store.write(self._from_store, self._clock.time())
            self._marker, self._looked_at = marker, now
            if "charge" in found:
                self._ask_balance_at = float("-inf")
        if self._api is None:
            return
        if "balance" in self._wanted and now >= self._ask_balance_at:
            self._ask_balance_at = now + ACCOUNT_AGAIN_SECONDS
            await self._look_at_balance(self._api)
            self._ask_balance_at = now + BALANCE_SECONDS
        if "expiry" in self._wanted and now >= self._ask_lists_at:
            self._ask_lists_at = now + ACCOUNT_AGAIN_SECONDS
            await self._look_at_lists(self._api)
            self._ask_lists_at = now + EXPIRY_SECONDS

    def _from_store(self, connection: Connection, now: float) -> set[Notified]:
        """Note what the store shows; returns of what kinds it is."""
        found: list[NewNotice] = []
        for event, condition in (("approval", WAITS), ("charge", COST)):
            if event in self._wanted:
                entries = notice_rows.untold(connection, event, condition, now - DAY_SECONDS)
                found += [NewNotice(event, f"{entry.id}:{entry.state}") for entry in entries]
        since = max(now - DAY_SECONDS, notice_rows.since(connection))
        for event in notice_rows.new_events(connection):
            if event.moment >= since and event.age_known:  # the history tells of what is old, too
                found += filter(self._is_wanted, _of_event(event, as_code="code" in self._wanted))
        if "webhook" in self._wanted:
            count = notice_rows.burst(connection, now, most=GUESSES, seconds=GUESSING_SECONDS)
            if count:
                found.append(NewNotice("webhook", f"{now:.0f}", json.dumps({"count": count})))
        self._add(connection, found, now)
        return {notice.event for notice in found}

    def _is_wanted(self, notice: NewNotice) -> bool:
        return notice.event in self._wanted

    def _add(self, connection: Connection, found: Iterable[NewNotice], now: float) -> None:
        for notice in found:
            notice_rows.add(connection, notice.event, notice.subject, self._addresses, now, notice.facts)

    async def _look_at_balance(self, api: "PivClient") -> None:
        balance = None
        with suppress(PermissionDeniedError):  # the key may not read it, and will not in a minute
            balance = (await api.account.get()).balance
        if balance is not None:
            await self._store.write(self._note_balance, balance, self._clock.time())

    def _note_balance(self, connection: Connection, balance: Decimal, now: float) -> None:
        if notice_rows.cross(connection, now, is_low=balance < self._least, quiet_seconds=BALANCE_SECONDS):
            told = json.dumps({"balance": str(balance), "least": str(self._least)})
            self._add(connection, [NewNotice("balance", f"{now:.0f}", told)], now)

    async def _look_at_lists(self, api: "PivClient") -> None:
        now = self._clock.time()
        found: list[NewNotice] = []
        problem: PivError | None = None
        for read in READERS.values():  # one that cannot be read takes no other along
            try:
                ending = await read(api, utc(now), utc(now) + EXPIRY_LEAD)
            except PermissionDeniedError:  # as above
                continue
            except PivError as error:
                problem = error
            else:
                found += [_of_row(row) for row in ending.rows if not row.has_ended]
        await self._store.write(self._add, found, now)
        if problem is not None:
            raise problem


def _of_event(event: StoredEvent, *, as_code: bool) -> list[NewNotice]:
    """What is to be told of an event: a message is told once, as a code where codes are told."""
    if event.type == SMS_RECEIVED:
        is_code = as_code and event.sign_in is not None
        return [NewNotice("code" if is_code else "message", str(event.seq))]
    data = event.data
    try:
        ends_at = datetime.fromisoformat(str(data.get("expires_at")))
    except ValueError:
        return []
    if event.type == "proxy.expires_soon" and ends_at.tzinfo is not None:
        return [_expiry("proxy order", str(data.get("order_id")), None, ends_at, renews=False)]
    if event.type == "domain.expires_soon" and ends_at.tzinfo is not None:
        name = data.get("domain_name")
        renews = data.get("auto_renew") is True
        return [_expiry("domain", str(data.get("domain_id")), name and str(name), ends_at, renews=renews)]
    return []


def _of_row(row: Commitment) -> NewNotice:
    name = row.name or (f"{row.quantity} in {row.country}" if row.what == "proxy order" else None)
    return _expiry(row.what, row.id, name, row.ends_at, renews=row.renewals > 0)


def _expiry(what: str, id: str, name: str | None, ends_at: datetime, *, renews: bool) -> NewNotice:
    told = {"what": what, "name": name or id, "ends_at": ends_at.timestamp(), "renews": renews}
    return NewNotice("expiry", f"{what}:{id}:{ends_at:%Y-%m-%d}"[:200], json.dumps(told))
