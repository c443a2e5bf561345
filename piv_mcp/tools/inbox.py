"""Tools of the inbox: read codes and events, and wait for them."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from piv_mcp.api.events import EVENTS
from piv_mcp.errors import InvalidRequestError
from piv_mcp.inbox import wait
from piv_mcp.services import Services, services
from piv_mcp.store import events
from piv_mcp.text.times import span
from piv_mcp.text.untrusted import Fence
from piv_mcp.tools.answers import Answer, Bounded
from piv_mcp.tools.event_rows import MAX_OTHERS, Code, EventRow, code_rows, event_row
from piv_mcp.tools.parameters import PivNumId, Switch, limited
from piv_mcp.tools.spec import Ctx, read

LATE_SECONDS = 300
"""Age at which a code that has just arrived is reported as late."""
REFRESH_SECONDS = 3.0
"""How long get_latest_code waits for the SMS history."""

After = Annotated[int, Field(ge=0, strict=True, description="Cursor of the previous answer: continues without a gap.")]
Timeout = Annotated[
    float,
    Field(ge=0, le=300, description="Above 50, clients with a 60 s limit may give up: wait again instead."),
]
Wanted = Annotated[str | int | bool, WithJsonSchema({"type": "string"})]
"""The schema says string, since many clients cannot handle a choice of types; the other types are accepted."""


def _event_type(value: str) -> str:
    """The type as the reference writes it. Types that are not in it keep their case."""
    value = value.strip()
    return next((name for name in EVENTS if name == value.casefold()), value)


EventType = Annotated[
    str,
    AfterValidator(_event_type),
    limited(100, form=r"[^\s\x00-\x1f\x7f-\x9f]+", words="the type of an event, such as sms.received"),
    Field(description=f"One of {', '.join(EVENTS)}."),
]


class LatestCode(Answer):
    """`status`: ok, stale (older than asked for: not a new code) or none."""

    status: str
    newest: Code | None = None
    others: list[Code] | None = None
    after: int
    note: str | None = None
    untrusted: str | None = None


class WaitedCode(Answer):
    """`status`: ok or timeout. `after` is the cursor for the next call."""

    status: str
    newest: Code | None = None
    others: list[Code] | None = None
    after: int
    waited_seconds: float
    note: str | None = None
    untrusted: str | None = None


class Events(Bounded):
    ROWS = "events"

    events: list[EventRow]
    total: int
    after: int
    note: str | None = None
    untrusted: str | None = None

    def continuation(self, count: int) -> str:
        last = self.events[count - 1].event_id
        if self._is_newest_first:
            return f"Older events: before={last}."
        return f"Go on with after={last}."

    def continued(self, count: int) -> dict[str, Any]:
        return {} if self._is_newest_first else {"after": self.events[count - 1].event_id}

    @property
    def _is_newest_first(self) -> bool:
        return self.events[0].event_id > self.events[-1].event_id


class WaitedEvents(Bounded):
    """`status`: ok or timeout. `after` is the cursor for the next call."""

    ROWS = "events"

    status: str
    events: list[EventRow]
    after: int
    waited_seconds: float
    note: str | None = None
    untrusted: str | None = None

    def continuation(self, count: int) -> str:
        return f"Go on with after={self.events[count - 1].event_id}."

    def continued(self, count: int) -> dict[str, Any]:
        return {"after": self.events[count - 1].event_id}


async def get_latest_code(
    ctx: Ctx,
    number: PivNumId | None = None,
    max_age_seconds: Annotated[int, Field(ge=1, le=31_536_000, description="Older codes are reported as stale.")] = 600,
) -> LatestCode:
    """Get the newest SMS verification code at once, on one number or on any. For one still to come: wait_for_code."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number) if number is not None else None
    problem = None
    if piv_num_id is not None:
        problem = await app.history.refresh(piv_num_id, seconds=REFRESH_SECONDS)
    else:
        await app.backfill.settled()
    now = app.clock.time()
    last = await app.store.read(events.last_seq)
    found = await app.store.read(events.codes, piv_num_id, limit=MAX_OTHERS + 1)
    note = f"The SMS history could not be read ({problem.message}): a message may be missing." if problem else None
    note = _join(note, await _captured(app, piv_num_id, now - max_age_seconds))
    if piv_num_id is None and (not found or found[0].arrived_at < now - max_age_seconds):
        note = _join("Name the number to search its SMS history, too.", note)
    if not found:
        return LatestCode(status="none", after=last, note=_join("No message with a code is in the inbox.", note))
    fence = Fence()
    newest, others = code_rows(app.phonebook, found, fence, app.clock.time())
    stale = newest.age_seconds > max_age_seconds
    if stale:
        note = _join(f"This code is {span(newest.age_seconds)} old: do not use it as a new one.", note)
        if any(other.age_seconds <= max_age_seconds for other in others or ()):
            note = _join(note, "It arrived last, but by its own time one of the others is newer.")
    return LatestCode(
        status="stale" if stale else "ok",
        newest=newest,
        others=others,
        after=max(last, newest.event_id),
        note=note,
        untrusted=fence.notice,
    )


async def wait_for_code(
    ctx: Ctx,
    number: PivNumId,
    timeout_seconds: Timeout = 50,
    after: After | None = None,
    confirmed_only: Annotated[
        Switch, Field(description="Only codes that the account's own SMS history confirms.")
    ] = False,
) -> WaitedCode:
    """Wait for the next SMS code on a number. One that came in the last minute counts, unless after is given."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number)
    after, gone = await _cursor(app, after)
    waited = await wait.wait_for_code(
        app.inbox,
        app.history,
        piv_num_id,
        seconds=timeout_seconds,
        progress=_progress(ctx, "waiting for the SMS"),
        cursor=after,
        confirmed_only=confirmed_only,
    )
    if not waited.found:
        note = _join(
            f"No code yet. To go on waiting, call again with after={waited.cursor}: nothing is missed.",
            await _captured(app, piv_num_id, app.clock.time() - waited.seconds - wait.JUST_BEFORE),
        )
        return WaitedCode(
            status="timeout",
            after=waited.cursor,
            waited_seconds=round(waited.seconds, 1),
            note=_join(gone, note),
        )
    fence = Fence()
    newest, others = code_rows(app.phonebook, waited.found, fence, app.clock.time())
    return WaitedCode(
        status="ok",
        newest=newest,
        others=others,
        after=waited.cursor,
        waited_seconds=round(waited.seconds, 1),
        note=_join(gone, _late(newest)),
        untrusted=fence.notice,
    )


async def list_events(
    ctx: Ctx,
    type: EventType | None = None,
    number: PivNumId | None = None,
    after: After | None = None,
    limit: Annotated[int, Field(ge=1, le=200, strict=True)] = 20,
    before: Annotated[int, Field(ge=1, strict=True, description="Only events before this event_id.")] | None = None,
) -> Events:
    """List received events (SMS, deliveries, registrations, finished sites): the newest, or those after a cursor."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number) if number is not None else None
    after, gone = await _cursor(app, after)
    last = await app.store.read(events.last_seq)
    found, total = await app.store.read(
        events.after,
        after or 0,
        before=before,
        types=[type] if type else [],
        subject=piv_num_id,
        limit=limit,
        newest=after is None,
    )
    fence = Fence()
    more = after is not None and total > len(found)
    return Events(
        events=[event_row(app.phonebook, event, fence) for event in found],
        total=total,
        after=found[-1].seq if more else max([last, *(event.seq for event in found)]),
        note=_join(gone, *_remarks(type, total)),
        untrusted=fence.notice,
    )


def _remarks(type: str | None, total: int) -> list[str]:
    if total >= events.COUNTED:
        return [f"There are {events.COUNTED} events or more."]
    if total == 0 and type is not None and type not in EVENTS:
        return [f"No event of this type was received, and piv.day has no such type. Its events: {', '.join(EVENTS)}."]
    return []


async def wait_for_event(
    ctx: Ctx,
    types: Annotated[list[EventType], Field(max_length=20, description="Empty: any type.")],
    match: Annotated[
        dict[str, Wanted],
        Field(description='Fields that the event\'s data must have, e.g. {"domain_id": "..."}.'),
    ]
    | None = None,
    timeout_seconds: Timeout = 50,
    after: After | None = None,
) -> WaitedEvents:
    """Wait for an event other than a code, such as a finished site. The last minute counts, unless after is given."""
    app = await services(ctx)
    unknown = [name for name in types if name not in EVENTS]
    if unknown:
        raise InvalidRequestError(
            f"types: no such event: {', '.join(unknown)}",
            code="VALIDATION_ERROR",
            hint=f"Events: {', '.join(EVENTS)}",
        )
    after, gone = await _cursor(app, after)
    wanted = {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in (match or {}).items()
    }
    if "piv_num_id" in wanted:
        wanted["piv_num_id"] = await app.phonebook.resolve(wanted["piv_num_id"])
    waited = await wait.wait_for_event(
        app.inbox,
        types=types,
        match=wanted,
        seconds=timeout_seconds,
        progress=_progress(ctx, f"waiting for {' or '.join(types) or 'an event'}"),
        cursor=after,
    )
    fence = Fence()
    note = None if waited.found else f"Nothing yet. To go on waiting, call again with after={waited.cursor}."
    return WaitedEvents(
        status="ok" if waited.found else "timeout",
        events=[event_row(app.phonebook, event, fence) for event in waited.found],
        after=waited.cursor,
        waited_seconds=round(waited.seconds, 1),
        note=_join(gone, note),
        untrusted=fence.notice if waited.found else None,
    )


async def _captured(app: Services, piv_num_id: str | None, since: float) -> str | None:
    """The note that a Google verification may have captured the message asked for: see `VerifyCompleted`."""
    match = {} if piv_num_id is None else {"piv_num_id": piv_num_id}
    found = await app.store.read(events.matching, ("verify.completed",), match, after=0, since=since, limit=1)
    return "A Google verification captured a message: list_events(type=verify.completed) has it." if found else None


def _late(code: Code) -> str | None:
    """The note on a message that arrived now and is old by its own time: it was sent again by hand, or delayed."""
    if code.age_seconds < LATE_SECONDS:
        return None
    return f"It arrived late: by its own time it is {span(code.age_seconds)} old and may not be the one you wait for."


async def _cursor(app: Services, after: int | None) -> tuple[int | None, str | None]:
    """The cursor to continue from, and the note where events after it are lost: pruned, or in a store that is gone."""
    if after is None:
        return None, None
    pruned, last = await app.store.read(events.span)
    if after < pruned:
        return after, f"Events {after + 1} to {pruned} are gone: the inbox no longer keeps them."
    if after > last:
        # Do not continue from event 0: a code of hours ago would be returned as the one waited for.
        return None, f"The cursor {after} is ignored: it belongs to an inbox that no longer exists."
    return after, None


def _progress(ctx: Ctx, what: str) -> wait.Progress:
    async def progress(waited: float, seconds: float) -> None:
        await ctx.report_progress(waited, seconds, f"{what} ({waited:.0f} of {seconds:.0f} s)")

    return progress


def _join(*parts: str | None) -> str | None:
    return " ".join(part for part in parts if part) or None


TOOLS = (
    read(get_latest_code, "Latest SMS code"),
    read(wait_for_code, "Wait for an SMS code"),
    read(list_events, "Events", local=True),
    read(wait_for_event, "Wait for an event", local=True),
)
