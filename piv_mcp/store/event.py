"""One event: what is stored of it, when it reached the account, and which of several is the newest."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from piv_mcp.api.events import piv_num_ids
from piv_mcp.store import facts
from piv_mcp.text.nesting import shallow

SMS_RECEIVED = "sms.received"

TOGETHER_SECONDS = 5 * 60
"""Messages that reached the account within this time are put in the order of their own times."""

CREDIBLE_SINCE = 1_420_070_400.0
"""2015-01-01. piv.day has sent nothing before."""

CLOCK_TOLERANCE = 120.0
"""A message may be this far ahead of piv.day's clock, or this much older than the look at the history that did not show
it yet: its times come from several machines. A greater difference makes its own time incredible."""

_TIME = re.compile(r"\s*\d{4}-\d\d-\d\d[T ]\d\d:\d\d")

TIMED = "timed:"
"""What the digest of a webhook begins with if the message's own time is in it: an equal one is the same, whenever it
comes."""

Source = Literal["webhook", "history", "asked"]
"""What told of an event first. A webhook and the SMS history, or a webhook and what was asked, make one row."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event. Times are seconds since the epoch, UTC.

    `sent_at` is the time that piv.day gives the message; once stored, only if it is credible. `stored_at` is the time
    on this machine's clock at which the event was recorded, and `arrived_at` that at which it reached the account;
    unless `age_known`, that is no more than a guess. `reached_at` is the same on piv.day's clock. Before an event is
    stored, these two are the times on the two clocks; None if piv.day's is not known. `link` is one that signs in or
    confirms, of an SMS without a code. `asked_since` is there if it was found by asking: since when, on this machine's
    clock, it can have happened.
    """

    type: str
    source: Source
    arrived_at: float
    payload: str
    seq: int = 0
    subject: str | None = None
    sent_at: float | None = None
    stored_at: float = 0.0
    reached_at: float | None = None
    age_known: int = 1
    digest: str | None = None
    message_id: str | None = None
    sender: str | None = None
    text: str | None = None
    text_key: str | None = None
    code: str | None = None
    code_source: Literal["api", "text"] | None = None
    link: str | None = None
    problem: str | None = None
    asked_since: float | None = None

    @property
    def confirmed(self) -> bool:
        """Whether the SMS history holds this SMS too. Anybody who knows the webhook address can send a false one."""
        return self.message_id is not None

    @property
    def sign_in(self) -> str | None:
        """The code, or the link in place of one: what a caller waits for."""
        return self.code or self.link

    @property
    def data(self) -> dict[str, Any]:
        """The `data` of the webhook as received, or as asking found it; for a message of the history, the message, with
        the number that the webhook of it would name."""
        payload = self._read_payload()
        data = {"piv_num_id": self.subject, **payload} if self.source == "history" else payload.get("data")
        return cast("dict[str, Any]", data) if isinstance(data, dict) else {}

    def _read_payload(self) -> dict[str, Any]:
        """Nothing, if it is damaged."""
        with suppress(ValueError):
            payload: object = json.loads(shallow(self.payload))
            return cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
        return {}

    @property
    def has_both_sources(self) -> bool:
        """Whether a webhook has told it, and it was found by asking."""
        return self.asked_since is not None and self.digest is not None

    @property
    def differences(self) -> dict[str, Any]:
        """What asking showed in another way than the webhook told it. Only piv.day itself can have shown it."""
        if not self.has_both_sources:
            return {}
        shown: object = self._read_payload().get("asked")
        fields, told = cast("dict[str, Any]", shown) if isinstance(shown, dict) else {}, self.data
        return {
            name: value
            for name, value in fields.items()
            if not isinstance(value, list) and not _means_same(told.get(name), value)
        }

    def matches(self, match: Mapping[str, str]) -> bool:
        """Whether the data has every field of `match`, compared as text. A `piv_num_id` may be in a list of ids."""
        if not match:
            return True
        data = self.data
        return all(
            value in piv_num_ids(data) if name == "piv_num_id" else name in data and _as_text(data[name]) == value
            for name, value in match.items()
        )

    @property
    def recorded_at(self) -> float:
        """When it was recorded, or is about to be."""
        return self.stored_at or self.arrived_at

    @property
    def age_when_stored(self) -> float:
        """Seconds. How long before its record the event reached the account, as far as known."""
        return max(0.0, self.stored_at - self.arrived_at)

    @property
    def moment(self) -> float:
        """When it reached the account, by piv.day's clock or the message's own time; else by this machine's clock."""
        return next(at for at in (self.reached_at, self.sent_at, self.arrived_at) if at is not None)

    def is_within(self, seconds: float, now: float, remote_now: float | None) -> bool:
        """Whether the event reached the account within the last so many seconds, as far as known."""
        if not self.age_known:
            return False
        if remote_now is not None and self.reached_at is not None and self.reached_at <= remote_now + CLOCK_TOLERANCE:
            return remote_now - self.reached_at <= seconds
        # piv.day's clock is not known, or was ahead when it came: this machine's own stands in for it.
        was_set_back = now < self.stored_at - facts.SAME_MOMENT_SECONDS
        return now - self.arrived_at <= seconds and not was_set_back

    def age(self, now: float, remote_now: float | None) -> float | None:
        """Seconds since the message was sent, or else since it reached the account; None if that is not known.

        `remote_now` is the time on piv.day's clock, if that is known; `now` is the time on this machine's clock, which
        may have been set since the record.
        """
        if remote_now is not None and self.sent_at is not None and self.sent_at <= remote_now + CLOCK_TOLERANCE:
            return max(0.0, remote_now - self.sent_at)
        if not self.age_known or now < self.stored_at - facts.SAME_MOMENT_SECONDS:
            return None
        return max(0.0, now - self.arrived_at)


def _means_same(one: object, other: object) -> bool:
    """Whether two values differ in their form only: an id may be a number or a text, a time in another form."""
    return _as_text(_canonical(one)).casefold() == _as_text(_canonical(other)).casefold()


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def newest_first(found: Sequence[StoredEvent]) -> list[StoredEvent]:
    """The events in the order in which they reached the account, the newest first. Those that came together are in the
    order of their own times: a webhook that is tried again comes after a newer one."""
    ordered: list[StoredEvent] = []
    waiting = sorted(found, key=lambda event: event.moment, reverse=True)
    while waiting:
        since = waiting[0].moment - TOGETHER_SECONDS
        together = [event for event in waiting if event.moment >= since]
        ordered += sorted(together, key=_own_time, reverse=True)
        waiting = waiting[len(together) :]
    return ordered


def _own_time(event: StoredEvent) -> tuple[int, float, int]:
    return event.age_known, event.moment if event.sent_at is None else event.sent_at, event.seq


def digest(type_: str, data: object) -> str:
    """A hash of a webhook's content, whatever form its times have. The time of the envelope is left out, since a retry
    may have a new one."""
    text = json.dumps([type_, _canonical(data)], sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def timed_digest(subject: str | None, text_key: str, second: int) -> str:
    """A hash of what a retry of an SMS's webhook cannot change: number, text, and the second of its time."""
    told = f"{subject}\n{text_key}\n{second}"
    return TIMED + hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: object) -> object:
    if isinstance(value, str) and _TIME.match(value):
        with suppress(ValueError):
            when = datetime.fromisoformat(value.strip())
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_canonical(item) for item in cast("list[object]", value)]
    return value
