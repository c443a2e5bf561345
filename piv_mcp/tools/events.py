"""Tools of the inbox: read events, and wait for them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, Field

from piv_mcp.api.events import EVENT_TYPES, EVENTS, EventType
from piv_mcp.errors import InvalidRequestError, NotFoundError
from piv_mcp.inbox import cursor, wait
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.outcomes import LAST
from piv_mcp.services import Services, services
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.spending.actions.base import wait_for_event as call_of_wait
from piv_mcp.store import events
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.pending import AREA_OF_KIND, ENDS, Kind, Sought
from piv_mcp.text.untrusted import one_line
from piv_mcp.tools.event_rows import rows_of
from piv_mcp.tools.inbox_answers import Events, InProgress, WaitedEvents
from piv_mcp.tools.parameters import DomainId, Id, OrderId, PivNumId, QueueId, WhiteId, limited
from piv_mcp.tools.reader import Reader
from piv_mcp.tools.spec import Ctx, read
from piv_mcp.tools.unknowns import clock_time, leased, unheard, unread
from piv_mcp.tools.waits import After, Timeout, join, progress

MOST_IN_PROGRESS = 10
"""Things in progress that an answer shows."""

REPEATED: frozenset[EventType] = frozenset({"domain.renewed", "domain.expires_soon"})
"""These can come of something that has ended, too."""

LISTED = "list_events without after"
"""What shows what a cursor may have passed: see `Reader.at`."""


def _event_type(value: str) -> str:
    """The type as the reference writes it. Types that are not in it keep their case."""
    value = value.strip()
    return next((name for name in EVENTS if name == value.casefold()), value)


AnyEventType = Annotated[
    str,
    AfterValidator(_event_type),
    limited(100, form=r"[^\s\x00-\x1f\x7f-\x9f]+", words="the type of an event, such as sms.received"),
    Field(description="An event type, as in wait_for_event."),
]


async def list_events(
    ctx: Ctx,
    type: AnyEventType | None = None,
    number: PivNumId | None = None,
    after: After | None = None,
    limit: Annotated[int, Field(ge=1, le=200, strict=True)] = 20,
    before: Annotated[int, Field(ge=1, strict=True, description="Only events before this event_id.")] | None = None,
) -> Events:
    """List received events (webhooks, notifications), what happened recently: SMS, deliveries, registrations, finished
    sites. The newest, or those after a cursor."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number) if number is not None else None
    if type in (None, "sms.received"):
        await app.backfill.refresh()
    await app.asking.settled()
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
        note=join(*reader.notes, *await leased(app, piv_num_id), *_remarks(type, total)),
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
    number: PivNumId | None = None,
    message_id: Annotated[Id, Field(description="From send_sms or list_sms.")] | None = None,
    domain_id: DomainId | None = None,
    order_id: OrderId | None = None,
    white_id: WhiteId | None = None,
    queue_id: QueueId | None = None,
    timeout_seconds: Timeout = 50,
    after: After | None = None,
) -> WaitedEvents:
    """Wait for an event other than a code (notify me when): message delivered, domain registered, site finished, number
    restored. The last minute counts, unless after is given."""
    app = await services(ctx)
    given = {
        "number": number,
        "message_id": message_id,
        "domain_id": domain_id,
        "order_id": order_id,
        "white_id": white_id,
        "queue_id": queue_id,
    }
    ids = {name: value for name, value in given.items() if value is not None}
    able = _about(types, ids)
    piv_num_id = await app.phonebook.resolve(number) if number is not None else None
    sought = _sought(app, types, ids, piv_num_id)
    match = await _fields(app, ids, sought)
    others = {name: value for name, value in match.items() if name != "piv_num_id"}
    about = cursor.about(piv_num_id, types, others)
    reader = await Reader.at(app, after, about=about, shown_by=LISTED)
    come = partial(
        wait.wait_for_event,
        app.inbox,
        types=able if "queue_id" in ids else types,
        match=match,
        progress=progress(ctx, f"waiting for {' or '.join(types) or 'an event'}"),
        cursor=reader.cursor,
    )
    waited, now, is_over = await come(seconds=0), None, False
    if not waited.found:
        now = await app.asking.standing(sought)
        is_over = now is not None and now.has_ended and REPEATED.isdisjoint(able)
        async with AsyncExitStack() as watching:
            await watching.enter_async_context(app.asking.watched(sought))
            if piv_num_id is not None and _is_in_history(types):
                await watching.enter_async_context(app.history.watched(piv_num_id))
            waited = await come(seconds=0 if is_over else timeout_seconds)
    rows = await rows_of(app, waited.found)
    notes, in_progress, ends = list(reader.notes), None, [(event.type, event.subject) for event in waited.found]
    if never := [name for name in types if name not in able]:
        notes.append(f"No event of the type {' or '.join(never)} can come here: it names no {' and '.join(ids)}.")
    if waited.earlier:
        notes.append("One came that is older than the wait, by its own time: list_events shows it.")
    if not waited.found and is_over and now is not None:
        notes.append(
            f"It had ended before: piv.day shows {one_line(now.state or 'unknown')}. No event will come of it."
        )
        ends = [(happening.type, white_id) for happening in now.happenings]
    elif not waited.found:
        in_progress = await _in_progress(app, sought)
        going_on = f"Nothing yet. To go on waiting, call again with after={reader.after(waited.cursor)}."
        notes += [going_on, *await _unasked(app, types, sought)]
        if now is not None and now.has_ended:
            notes.append(f"piv.day shows {one_line(now.state or 'unknown')} now.")
        elif now is not None and not in_progress:
            notes.append(f"piv.day has nothing by this {' and '.join(ids)}: check the id.")
        elif not in_progress:
            notes += [f"{IDS[name].shown_by} shows the state now." for name in ids if IDS[name].shown_by]
    return WaitedEvents(
        status="ok" if waited.found else "ended" if is_over else "timeout",
        events=[rows.event(event) for event in waited.found],
        in_progress=in_progress or None,
        after=reader.after(waited.cursor),
        waited_seconds=round(waited.seconds, 1),
        follow_up=_download(ends) or _delivery(waited.found, able, reader.after(waited.cursor)),
        note=join(*notes),
        untrusted=rows.fence.notice,
        store=reader.owner,
    )


@dataclass(frozen=True, slots=True)
class _Id:
    """How an event is found by an id: the `field` of its data that names it, in events of these `types`. `kinds` are
    those of things in progress that it names. `shown_by` is the tool that shows how far the thing is."""

    field: str
    types: tuple[EventType, ...]
    kinds: tuple[Kind, ...] = ()
    shown_by: str | None = None


IDS: Mapping[str, _Id] = {
    "number": _Id(
        "piv_num_id",
        ("sms.received", "sms.status_updated", "number.restore_completed", "verify.completed", "verify.failed"),
        ("message", "restore", "verification"),
    ),
    "message_id": _Id("message_id", ("sms.status_updated",), ("message",), "list_sms"),
    "domain_id": _Id(
        "domain_id",
        ("domain.registered", "domain.failed", "domain.expires_soon", "domain.renewed"),
        ("registration", "renewal"),
        "get_domain",
    ),
    "order_id": _Id("order_id", ("proxy.expires_soon",), (), "get_proxy_order"),
    "white_id": _Id("job_id", ("white.completed", "white.failed"), ("site",), "get_white"),
    # No event names the entry of the queue: it is known for which domain it is, or piv.day is asked.
    "queue_id": _Id(
        "domain_name",
        ("domain.registered", "domain.failed", "domain.renewed"),
        ("registration", "renewal"),
        "get_domain_queue",
    ),
}


def _about(types: Sequence[EventType], ids: Collection[str]) -> Sequence[EventType]:
    """Those of the types (of all, if there are none) that name every one of the ids.

    Raises:
        InvalidRequestError: there is none.
    """
    able: list[EventType] = [name for name in types or EVENT_TYPES if all(name in IDS[id_].types for id_ in ids)]
    if not able:
        it, they = ("it", "it") if len(ids) == 1 else ("all of them", "one of them")
        naming = [name for name in EVENT_TYPES if any(name in IDS[id_].types for id_ in ids)]
        raise InvalidRequestError(
            f"{', '.join(ids)}: no event of the asked types names {it}",
            code="VALIDATION_ERROR",
            hint=f"Events that name {they}: {', '.join(naming)}",
        )
    return able


def _sought(app: Services, types: Sequence[EventType], ids: Mapping[str, str], piv_num_id: str | None) -> Sought:
    """What is to be looked at for a wait for these types of what the ids name: nothing of an area that the caller
    lacks."""
    kinds: list[Kind] = [
        kind
        for kind, ends in ENDS.items()
        if (not types or not set(types).isdisjoint(ends)) and all(kind in IDS[name].kinds for name in ids)
    ]
    kinds = [kind for kind in kinds if (area := AREA_OF_KIND.get(kind)) is None or app.has(area)]
    others = {name: value for name, value in ids.items() if name != "number"}
    return Sought(kinds, others, piv_num_id, is_open=not types)


async def _fields(app: Services, ids: Mapping[str, str], sought: Sought) -> dict[str, str]:
    """The ids as fields of the events' data."""
    fields = {IDS[name].field: value for name, value in sought.ids.items()}
    if sought.number is not None:
        fields[IDS["number"].field] = sought.number
    if "queue_id" in ids:
        del fields[IDS["queue_id"].field]
        fields |= await _domain_of(app, ids["queue_id"], sought)
    return fields


async def _domain_of(app: Services, queue_id: str, sought: Sought) -> dict[str, str]:
    """What the events of a queue entry are known by: the name of its domain, or else its id."""
    for row in await app.asking.known(sought):
        for field in ("domain_name", "domain_id"):
            if row.known.get(field):
                return {field: row.known[field]}
    if not app.has("domains"):
        raise NotFoundError("there is no such entry of the queue", code="NOT_FOUND")
    entry = await app.client.domains.queue(queue_id)
    if not entry.domain_name:
        raise InvalidRequestError(
            "queue_id: piv.day does not say for which domain this is",
            code="VALIDATION_ERROR",
            hint="Wait by domain_id, or call get_domain_queue",
        )
    return {"domain_name": entry.domain_name}


def _is_in_history(types: Sequence[EventType]) -> bool:
    """Whether the SMS history of a number tells of events of these types."""
    return not types or any(name.startswith(("sms.", "verify.")) for name in types)


async def _in_progress(app: Services, sought: Sought) -> list[InProgress]:
    """What of it has not ended, the newest first."""
    now = app.clock.time()
    return [
        InProgress(
            what=row.kind,
            id=one_line(row.id),
            name=one_line(name) if (name := row.known.get("domain_name") or row.known.get("name")) else None,
            state=one_line(row.state) if row.state else None,
            looked_seconds_ago=None if row.looked_at is None else max(0, round(now - row.looked_at)),
        )
        for row in (await app.asking.known(sought))[:MOST_IN_PROGRESS]
    ]


async def _unasked(app: Services, types: Sequence[EventType], sought: Sought) -> list[str]:
    """What of a wait nobody could know: what cannot be asked for, and what could not be."""
    if app.api is None:
        return ["No API key is set, so only webhooks bring events.", *await unheard(app)]
    notes: list[str] = []
    if (trouble := await app.asking.trouble(sought)) is not None:
        notes.append(f"piv.day could not be asked since {clock_time(trouble.since)} ({trouble.problem}).")
    known = await app.asking.known(sought)
    numbers = {row.subject for row in known}
    if _is_in_history(types):
        numbers.add(sought.number)
    for number in sorted(number for number in numbers if number is not None):
        notes += await unread(app, number)
    heard: list[str] = []
    if sought.is_open:
        notes.append("What was begun elsewhere is not looked for here: name its type.")
    if any(name.startswith("verify.") for name in types):
        heard.append("How a verification ends, only a webhook tells, or a message that it leaves in the SMS history.")
    if sought.number is None and (not types or "sms.received" in types):
        heard.append("Of SMS that come, only webhooks tell here: name the number to have its SMS history read.")
    elif not sought.names_one and "sms.status_updated" in types and not known:
        heard.append("Of messages that were sent elsewhere, only webhooks tell here: name the number.")
    return [*notes, *heard, *(await unheard(app) if heard else [])]


def _download(ends: Sequence[tuple[str, str | None]]) -> FollowUp | None:
    """The call for the archive of a site that is finished."""
    ids = [white_id for type_, white_id in ends if type_ == "white.completed" and white_id]
    return FollowUp(tool="get_white_download", arguments={"white_id": ids[-1]}) if ids else None


def _delivery(found: Sequence[StoredEvent], able: Sequence[EventType], after: str) -> FollowUp | None:
    """The call that waits on for a message whose newest status is not its last."""
    last = found[-1] if found else None
    if last is None or able != ["sms.status_updated"]:
        return None
    if str(last.data.get("new_status")).casefold() in LAST:
        return None
    ids = {"number": last.subject, "message_id": last.data.get("message_id")}
    call = call_of_wait("sms.status_updated", **{name: str(id_) for name, id_ in ids.items() if id_})
    return FollowUp(tool=call.tool, arguments={**call.arguments, "after": after})


TOOLS = (
    read(list_events, "Events", local=True),
    read(wait_for_event, "Wait for an event", local=True),
)
