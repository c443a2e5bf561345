"""Tools of the inbox: read verification codes, and wait for them."""

import asyncio
from typing import Annotated

from pydantic import Field

from piv_mcp.inbox import wait
from piv_mcp.inbox.backfill import LAST_ROUND_END, NOW_SECONDS, ROUND_SECONDS
from piv_mcp.inbox.codes.parts import parts_of
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.wanted import Wanted
from piv_mcp.services import Services, services
from piv_mcp.store import events, facts
from piv_mcp.store.event import StoredEvent
from piv_mcp.text.times import span
from piv_mcp.tools.event_rows import MAX_OTHERS, RECENT_CODES_SECONDS, rows_of
from piv_mcp.tools.inbox_answers import LatestCode, WaitedCode
from piv_mcp.tools.parameters import Line, PivNumId, Switch, limited
from piv_mcp.tools.reader import Reader
from piv_mcp.tools.spec import Ctx, read
from piv_mcp.tools.unknowns import leased, unheard, unread
from piv_mcp.tools.waits import After, Timeout, join, progress

STALE_SECONDS = 600
"""Age from which a code is not one that a caller can be waiting for."""

LATE_SECONDS = 300
"""Age from which a code that has just arrived is reported as late."""

REFRESH_SECONDS = 3.0
"""How long get_latest_code waits for the SMS history."""

Sender = Annotated[
    Line,
    limited(100),
    Field(description="Only from this sender: its number or part of its name, as the SMS history has it."),
]
Contains = Annotated[Line, limited(200), Field(description="Only texts with these words, in any case.")]

SEARCHED_ONCE = 1000
"""So many of the newest codes get_latest_code looks through for those of a sender or with some words."""

LATEST = "get_latest_code"
"""What shows what a cursor may have passed: see `Reader.at`."""


async def get_latest_code(
    ctx: Ctx,
    number: PivNumId | None = None,
    sender: Sender | None = None,
    contains: Contains | None = None,
    max_age_seconds: Annotated[int, Field(ge=1, le=31_536_000, description="Older codes are reported as stale.")] = 600,
) -> LatestCode:
    """Get the newest SMS verification code (OTP, two-factor or 2FA login code, one-time PIN or password) or sign-in
    link (magic link) that came, on one number or any. For one still to come: wait_for_code."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number) if number is not None else None
    problem = None
    if piv_num_id is not None:
        problem = await app.history.refresh(piv_num_id, seconds=REFRESH_SECONDS)
    else:
        await app.backfill.refresh()
    wanted = Wanted(sender=sender, contains=contains)
    reader = await Reader.at(app, None, about=wanted.about(piv_num_id), shown_by=LATEST)
    last = await app.store.read(events.last_seq)
    most = SEARCHED_ONCE if wanted.is_narrow else MAX_OTHERS + 2
    codes = await app.store.read(events.codes, piv_num_id, limit=most)
    found = list(filter(wanted.takes, codes))
    recent = [event for event in found if found[0].moment - event.moment <= RECENT_CODES_SECONDS]
    found = recent[: MAX_OTHERS + 1]
    quiet = await _without_code(app, piv_num_id, wanted, found, max_age_seconds)
    more_quiet, quiet = len(quiet) > wait.WITHOUT_CODE_AT_ONCE, quiet[: wait.WITHOUT_CODE_AT_ONCE]
    rows = await rows_of(app, [*found, *quiet])
    notes = await leased(app, piv_num_id)
    if problem is not None:
        notes.append(f"The SMS history could not be read ({problem.message}): a message may be missing.")
    elif app.api is not None:
        notes += await (_last_round(app) if piv_num_id is None else unread(app, piv_num_id))
    if len(recent) > len(found):
        notes.append("More codes came before these: list_events shows them.")
    if any(is_recent(rows.age(event), max_age_seconds) for event in filter(wanted.awaits, codes)):
        notes.append(_unknown_sender())
    if wanted.is_narrow and len(codes) == most:
        notes.append(f"Only the newest {most} codes were looked through.")
    notes += await _captured(app, piv_num_id, app.clock.time() - max_age_seconds)
    age = rows.age(found[0]) if found else None
    stale = bool(found) and (age is None or age > max_age_seconds)
    if piv_num_id is None and (not found or stale) and not any("Name the number" in note for note in notes):
        notes.insert(0, "Name the number to search its SMS history, too.")
    if not found:
        kind = "such a code" if wanted.is_narrow else "a code"
        notes.insert(0, f"No message with {kind} is in the inbox.")
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
        note=join(*_of_links(found), *_about(quiet, has_code=bool(found), more=more_quiet), *notes),
        untrusted=rows.fence.notice,
    )


async def _without_code(
    app: Services, piv_num_id: str | None, wanted: Wanted, found: list[StoredEvent], max_age_seconds: int
) -> list[StoredEvent]:
    """Messages without a code that are newer than the newest code; without a code, those of the time asked for."""
    most = wait.QUIET_SEARCHED if wanted.is_narrow else wait.WITHOUT_CODE_AT_ONCE + 1
    quiet = await app.store.read(events.without_code, piv_num_id, limit=most)
    quiet = list(filter(wanted.may_take, quiet))
    if found:
        return wait.newer(quiet, found[0])
    now, remote_now = app.clock.time(), app.inbox.remote_time()
    return [event for event in quiet if is_recent(event.age(now, remote_now), max_age_seconds)]


async def wait_for_code(
    ctx: Ctx,
    number: PivNumId,
    sender: Sender | None = None,
    contains: Contains | None = None,
    timeout_seconds: Timeout = 50,
    after: After | None = None,
    confirmed_only: Annotated[
        Switch, Field(description="Only codes that the account's own SMS history confirms.")
    ] = False,
) -> WaitedCode:
    """Wait for the next SMS verification code (OTP, 2FA, sign-in code) or sign-in link to arrive on a number. One that
    came in the last minute counts, unless after is given."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number)
    wanted = Wanted(confirmed_only, sender, contains)
    reader = await Reader.at(
        app, after, about=wanted.about(piv_num_id), within=Wanted().about(piv_num_id), shown_by=LATEST
    )
    waited = await wait.wait_for_code(
        app.inbox,
        app.history,
        piv_num_id,
        seconds=timeout_seconds,
        progress=progress(ctx, "waiting for the SMS"),
        cursor=reader.cursor,
        wanted=wanted,
    )
    found, quiet = waited.found, waited.without_code
    # Side by side: each waits for the store, and somebody for the code.
    rows, missed = await asyncio.gather(rows_of(app, [*found, *quiet]), unread(app, piv_num_id))
    notes = [*reader.notes, *_about(quiet, has_code=bool(found), more=waited.more_without_code)]
    after, status = reader.after(waited.cursor), "timeout"
    if waited.unconfirmed:
        unconfirmed = "A code came that the SMS history does not confirm yet: get_latest_code shows it."
        notes.append(unconfirmed if sender is None else _unknown_sender())
    if waited.earlier:
        count = f"{waited.earlier}{' or more' if waited.earlier >= wait.CODES_COUNTED else ''}"
        notes.append(
            f"The first reading of the SMS history found codes from before the given after, {count} in all:"
            " get_latest_code shows the newest."
        )
    notes += _of_links(found)
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
    if found and app.api is not None:
        notes += missed
    elif not found:
        promise = "" if missed or reader.notes or waited.earlier else ": nothing is missed"
        kind = f"{'such ' if wanted.is_narrow else ''}{'confirmed ' if confirmed_only else ''}code"
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
        note=join(*notes),
        untrusted=rows.fence.notice,
    )


def _unknown_sender() -> str:
    return "A code came whose sender the SMS history does not tell yet: get_latest_code without sender shows it."


def _of_links(found: list[StoredEvent]) -> list[str]:
    """What to say of links in place of codes."""
    if all(event.link is None for event in found):
        return []
    return ["A link is for the person alone to open, after a look at its host: nothing here opens it."]


def _about(quiet: list[StoredEvent], *, has_code: bool, more: bool) -> list[str]:
    """What to say of messages in which no code was recognised, and of `more` that are not shown."""
    if not quiet:
        return []
    said = [
        "A newer message came, in which no code was recognised: see newer_without_code."
        if has_code
        else "Messages came in which no code was recognised: see newer_without_code."
    ]
    if more:
        said.append("More such messages came: list_events shows them.")
    parts = [part for event in quiet if (part := parts_of(event.text or ""))]
    if parts:
        said.append(f"One is part {parts[0][0]} of {parts[0][1]} of a longer SMS: the code may be in another part.")
    return said


async def _last_round(app: Services) -> list[str]:
    """When the histories of all numbers were last read, if a newer code may be missing."""
    ended = await app.store.read(facts.own_number, LAST_ROUND_END)
    ago = app.clock.time() - ended
    patience = 2 * ROUND_SECONDS if await app.store.read(facts.own_number, facts.WEBHOOK_RECEIVED) else NOW_SECONDS
    if 0 <= ago <= patience:
        return []
    when = f"were last read {span(ago)} ago" if ended and ago > 0 else "have not all been read yet"
    return [f"The SMS histories {when}: a newer code may be missing. Name the number to have its own read now."]


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


TOOLS = (
    read(get_latest_code, "Latest SMS code", always_load=True),
    read(wait_for_code, "Wait for an SMS code", always_load=True),
)
