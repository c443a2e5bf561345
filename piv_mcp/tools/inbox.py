"""Tools of the inbox: read codes and events, and wait for them."""

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from piv_mcp.api.events import EVENTS
from piv_mcp.errors import InvalidRequestError
from piv_mcp.inbox import cursor, wait
from piv_mcp.inbox.codes.parts import parts_of
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.services import Services, services
from piv_mcp.store import events
from piv_mcp.store.event import StoredEvent
from piv_mcp.text.times import span
from piv_mcp.tools.event_rows import MAX_OTHERS, RECENT_CODES_SECONDS, rows_of
from piv_mcp.tools.inbox_answers import Events, LatestCode, WaitedCode, WaitedEvents
from piv_mcp.tools.parameters import PivNumId, Switch, limited
from piv_mcp.tools.reader import CURSOR, Reader
from piv_mcp.tools.spec import Ctx, read
from piv_mcp.tools.unknowns import unheard, unread

STALE_SECONDS = 600
"""Age from which a code is not one that a caller can be waiting for."""

LATE_SECONDS = 300
"""Age from which a code that has just arrived is reported as late."""

REFRESH_SECONDS = 3.0
"""How long get_latest_code waits for the SMS history."""

LATEST, LISTED = "get_latest_code", "list_events without after"
"""What shows what a cursor may have passed: see `Reader.at`."""

After = Annotated[
    str,
    limited(1000, least=0, form=CURSOR, words="the after of an earlier answer, such as c1k3J9xQE"),
    Field(description="The after of the previous answer: continues without a gap."),
]
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


async def get_latest_code(
    ctx: Ctx,
    number: PivNumId | None = None,
    max_age_seconds: Annotated[int, Field(ge=1, le=31_536_000, description="Older codes are reported as stale.")] = 600,
) -> LatestCode:
    """Get the newest SMS verification code that was received (OTP, two-factor or 2FA login code, one-time PIN or
    password), on one number or on any. For one still to come: wait_for_code."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number) if number is not None else None
    problem = None
    if piv_num_id is not None:
        problem = await app.history.refresh(piv_num_id, seconds=REFRESH_SECONDS)
    else:
        await app.backfill.settled()
    reader = await Reader.at(app, None, about=cursor.about(piv_num_id), shown_by=LATEST)
    last = await app.store.read(events.last_seq)
    found = await app.store.read(events.codes, piv_num_id, limit=MAX_OTHERS + 1)
    found = [event for event in found if found[0].moment - event.moment <= RECENT_CODES_SECONDS]
    quiet = await _without_code(app, piv_num_id, found, max_age_seconds)
    rows = await rows_of(app, [*found, *quiet])
    notes: list[str] = []
    if problem is not None:
        notes.append(f"The SMS history could not be read ({problem.message}): a message may be missing.")
    elif piv_num_id is not None and app.api is not None:
        notes += await unread(app, piv_num_id)
    notes += await _captured(app, piv_num_id, app.clock.time() - max_age_seconds)
    age = rows.age(found[0]) if found else None
    stale = bool(found) and (age is None or age > max_age_seconds)
    if piv_num_id is None and (not found or stale):
        notes.insert(0, "Name the number to search its SMS history, too.")
    if not found:
        notes.insert(0, "No message with a code is in the inbox.")
        notes += await unheard(app)
    elif stale:
        notes.insert(0, _old(age))
        if any(is_recent(rows.age(other), max_age_seconds) for other in found[1:]):
            notes.append("It arrived last, but by its own time one of the others is newer.")
    newest, others = rows.codes(found) if found else (None, None)
    looked_at = 0 if problem else int(app.inbox.remote_time() or 0)
    return LatestCode(
        status="stale" if stale else "ok" if found else "none",
        newest=newest,
        others=others,
        newer_without_code=rows.messages(quiet),
        after=reader.after(Cursor(max([last, *(event.seq for event in found)]), at=looked_at)),
        note=_join(*_about(quiet, has_code=bool(found)), *notes),
        untrusted=rows.fence.notice,
    )


async def _without_code(
    app: Services, piv_num_id: str | None, found: list[StoredEvent], max_age_seconds: int
) -> list[StoredEvent]:
    """Messages without a code that are newer than the newest code; without a code, those of the time asked for."""
    quiet = await app.store.read(events.without_code, piv_num_id, limit=wait.WITHOUT_CODE_AT_ONCE)
    if found:
        return wait.newer(quiet, found[0])
    now, remote_now = app.clock.time(), app.inbox.remote_time()
    return [event for event in quiet if is_recent(event.age(now, remote_now), max_age_seconds)]


async def wait_for_code(
    ctx: Ctx,
    number: PivNumId,
    timeout_seconds: Timeout = 50,
    after: After | None = None,
    confirmed_only: Annotated[
        Switch, Field(description="Only codes that the account's own SMS history confirms.")
    ] = False,
) -> WaitedCode:
    """Wait for the next SMS verification code (OTP, 2FA, sign-in code) to arrive on a number. One that came in the last
    minute counts, unless after is given."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number)
    reader = await Reader.at(app, after, about=cursor.about(piv_num_id), shown_by=LATEST)
    waited = await wait.wait_for_code(
        app.inbox,
        app.history,
        piv_num_id,
        seconds=timeout_seconds,
        progress=_progress(ctx, "waiting for the SMS"),
        cursor=reader.cursor,
        confirmed_only=confirmed_only,
    )
    found, quiet = waited.found, waited.without_code
    rows = await rows_of(app, [*found, *quiet])
    notes = [*reader.notes, *_about(quiet, has_code=bool(found))]
    after, status = reader.after(waited.cursor), "timeout"
    if waited.unconfirmed:
        notes.append("A code came that the SMS history does not confirm yet: get_latest_code shows it.")
    if waited.earlier:
        count = f"{waited.earlier}{' or more' if waited.earlier >= wait.CODES_COUNTED else ''}"
        notes.append(
            f"The first reading of the SMS history found codes from before the given after, {count} in all:"
            " get_latest_code shows the newest."
        )
    if found:
        fresh = next((event for event in found if is_recent(rows.age(event), STALE_SECONDS)), found[0])
        if fresh is not found[0]:
            notes.append("One of the others arrived later, but by its own time it is older.")
            found = [fresh, *(event for event in found if event is not fresh)]
        age = rows.age(fresh)
        status = "ok" if is_recent(age, STALE_SECONDS) else "stale"
        if status == "stale":
            notes.append(f"{_old(age)} To wait for a new one, call again with after={after}.")
        elif age is not None and age >= LATE_SECONDS:
            notes.append(f"It arrived late: it is {span(age)} old and may not be the one you wait for.")
        if waited.more:
            count = f"{waited.more}{' or' if waited.is_cut else ''} more"
            notes.append(f"{count} codes came before these: call again with after={after} for them.")
    else:
        missed = await unread(app, piv_num_id)
        promise = "" if missed or reader.notes or waited.earlier else ": nothing is missed"
        kind = "confirmed code" if confirmed_only else "code"
        going_on = f"No {kind} yet. To go on waiting, call again with after={after}{promise}."
        notes += [going_on, *missed, *await unheard(app)]
        notes += await _captured(app, piv_num_id, app.clock.time() - waited.seconds - wait.JUST_BEFORE)
    newest, others = rows.codes(found) if found else (None, None)
    return WaitedCode(
        status=status,
        newest=newest,
        others=others,
        newer_without_code=rows.messages(quiet),
        after=after,
        waited_seconds=round(waited.seconds, 1),
        note=_join(*notes),
        untrusted=rows.fence.notice,
    )


def _about(quiet: list[StoredEvent], *, has_code: bool) -> list[str]:
    """What to say of messages in which no code was recognised."""
    if not quiet:
        return []
    said = [
        "A newer message came, in which no code was recognised: see newer_without_code."
        if has_code
        else "Messages came in which no code was recognised: see newer_without_code."
    ]
    parts = [part for event in quiet if (part := parts_of(event.text or ""))]
    if parts:
        said.append(f"One is part {parts[0][0]} of {parts[0][1]} of a longer SMS: the code may be in another part.")
    return said


async def list_events(
    ctx: Ctx,
    type: EventType | None = None,
    number: PivNumId | None = None,
    after: After | None = None,
    limit: Annotated[int, Field(ge=1, le=200, strict=True)] = 20,
    before: Annotated[int, Field(ge=1, strict=True, description="Only events before this event_id.")] | None = None,
) -> Events:
    """List received events (webhooks, notifications), what happened recently: SMS, deliveries, registrations, finished
    sites. The newest, or those after a cursor."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number) if number is not None else None
    about = cursor.about(piv_num_id, [type] if type else [])
    reader = await Reader.at(app, after, about=about, shown_by=LISTED)
    start = reader.cursor or Cursor(0, at=int(app.inbox.remote_time() or 0))
    last = await app.store.read(events.last_seq)
    found, total = await app.store.read(
        events.after,
        start.seq,
        before=before,
        types=[type] if type else [],
        subject=piv_num_id,
        limit=limit,
        newest=reader.cursor is None,
    )
    rows = await rows_of(app, found)
    more = reader.cursor is not None and total > len(found)
    seq = found[-1].seq if more else max([last, *(event.seq for event in found)])
    if before is not None:  # this page does not show what came after it
        seq = max(start.seq, min(seq, before - 1))
    return Events(
        events=[rows.event(event) for event in found],
        total=total,
        after=reader.after(Cursor(seq, at=start.at)),
        note=_join(*reader.notes, *_remarks(type, total)),
        untrusted=rows.fence.notice,
        store=reader.owner,
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
    """Wait for an event other than a code (notify me when): message delivered, domain registered, site finished, number
    restored. The last minute counts, unless after is given."""
    app = await services(ctx)
    unknown = [name for name in types if name not in EVENTS]
    if unknown:
        raise InvalidRequestError(
            f"types: no such event: {', '.join(unknown)}",
            code="VALIDATION_ERROR",
            hint=f"Events: {', '.join(EVENTS)}",
        )
    wanted = {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in (match or {}).items()
    }
    if "piv_num_id" in wanted:
        wanted["piv_num_id"] = await app.phonebook.resolve(wanted["piv_num_id"])
    rest = {name: value for name, value in wanted.items() if name != "piv_num_id"}
    about = cursor.about(wanted.get("piv_num_id"), types, rest)
    reader = await Reader.at(app, after, about=about, shown_by=LISTED)
    waited = await wait.wait_for_event(
        app.inbox,
        types=types,
        match=wanted,
        seconds=timeout_seconds,
        progress=_progress(ctx, f"waiting for {' or '.join(types) or 'an event'}"),
        cursor=reader.cursor,
    )
    rows = await rows_of(app, waited.found)
    notes = list(reader.notes)
    if not waited.found:
        going_on = f"Nothing yet. To go on waiting, call again with after={reader.after(waited.cursor)}."
        notes += [going_on, *await unheard(app)]
    return WaitedEvents(
        status="ok" if waited.found else "timeout",
        events=[rows.event(event) for event in waited.found],
        after=reader.after(waited.cursor),
        waited_seconds=round(waited.seconds, 1),
        note=_join(*notes),
        untrusted=rows.fence.notice,
        store=reader.owner,
    )


async def _captured(app: Services, piv_num_id: str | None, since: float) -> list[str]:
    """The note that a Google verification may have captured the message asked for: see `VerifyCompleted`."""
    match = {} if piv_num_id is None else {"piv_num_id": piv_num_id}
    found = await app.store.read(events.matching, ("verify.completed",), match, after=0, arrived=since, limit=1)
    return ["A Google verification captured a message: list_events(type=verify.completed) has it."] if found else []


def is_recent(age: int | float | None, seconds: int) -> bool:
    return age is not None and age <= seconds


def _old(age: int | None) -> str:
    if age is None:
        return "How old this code is is not known: do not use it as a new one."
    return f"This code is {span(age)} old: do not use it as a new one."


def _progress(ctx: Ctx, what: str) -> wait.Progress:
    async def progress(waited: float, seconds: float) -> None:
        await ctx.report_progress(waited, seconds, f"{what} ({waited:.0f} of {seconds:.0f} s)")

    return progress


def _join(*parts: str | None) -> str | None:
    return " ".join(part for part in parts if part) or None


TOOLS = (
    read(get_latest_code, "Latest SMS code", always_load=True),
    read(wait_for_code, "Wait for an SMS code", always_load=True),
    read(list_events, "Events", local=True),
    read(wait_for_event, "Wait for an event", local=True),
)
