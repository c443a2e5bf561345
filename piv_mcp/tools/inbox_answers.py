"""The answers of the inbox's tools."""

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from piv_mcp.inbox import cursor
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.tools.answers import Answer, Bounded
from piv_mcp.tools.event_rows import Code, EventRow, SmsWithoutCode


class LatestCode(Answer):
    """`status`: ok, stale (older than asked for, or of unknown age: not a new code) or none."""

    status: str
    newest: Code | None = None
    others: list[Code] | None = None
    newer_without_code: list[SmsWithoutCode] | None = None
    after: str
    note: str | None = None
    untrusted: str | None = None


class WaitedCode(Answer):
    """`status`: ok, stale (over ten minutes old, or of unknown age: not a new code) or timeout. `after` is the cursor
    for the next call. `newer_without_code` after a timeout: what came instead."""

    status: str
    newest: Code | None = None
    others: list[Code] | None = None
    newer_without_code: list[SmsWithoutCode] | None = None
    after: str
    waited_seconds: float
    note: str | None = None
    untrusted: str | None = None


class Events(Bounded):
    ROWS = "events"

    events: list[EventRow]
    total: int
    after: str
    note: str | None = None
    untrusted: str | None = None
    store: SkipJsonSchema[bytes] = Field(default=b"", exclude=True)
    """Whose cursors these are."""

    def continuation(self, count: int) -> str:
        if self._is_newest_first:
            return f"Older events: before={self.events[count - 1].event_id}."
        return "Go on with the after of this answer."

    def continued(self, count: int) -> dict[str, Any]:
        last = self.events[count - 1].event_id
        return {} if self._is_newest_first else {"after": _moved(self.after, last, self.store)}

    @property
    def _is_newest_first(self) -> bool:
        return self.events[0].event_id > self.events[-1].event_id


class InProgress(BaseModel):
    """Something that has not ended, and what piv.day showed of it when it was last looked at."""

    model_config = ConfigDict(frozen=True)

    what: str
    id: str
    name: str | None = None
    state: str | None = None
    looked_seconds_ago: int | None = None


class WaitedEvents(Bounded):
    """`status`: ok, timeout, or ended (it had ended before, and no event will come). `after` is the cursor for the next
    call. `in_progress` after a timeout."""

    ROWS = "events"

    status: str
    events: list[EventRow]
    in_progress: list[InProgress] | None = None
    after: str
    waited_seconds: float
    follow_up: FollowUp | None = None
    note: str | None = None
    untrusted: str | None = None
    store: SkipJsonSchema[bytes] = Field(default=b"", exclude=True)
    """Whose cursors these are."""

    def continuation(self, count: int) -> str:
        del count
        return "Go on with the after of this answer."

    def continued(self, count: int) -> dict[str, Any]:
        return {"after": _moved(self.after, self.events[count - 1].event_id, self.store)}


def _moved(after: str, last: int, store: bytes) -> str:
    """The cursor of an answer of which only the events up to `last` are shown."""
    return cursor.write(replace(cursor.read(after, store), seq=last), store)
