"""Tools of the inbox: read events, and wait for them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from piv_mcp.api.events import EVENT_TYPES, EVENTS, EventType
from piv_mcp.errors import InvalidRequestError
from piv_mcp.inbox import cursor, wait
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.services import Services, services
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.store import events
from piv_mcp.store.event import StoredEvent
from piv_mcp.tools.event_rows import rows_of
from piv_mcp.tools.inbox_answers import Events, WaitedEvents
from piv_mcp.tools.parameters import DomainId, Id, OrderId, PivNumId, QueueId, WhiteId, limited
from piv_mcp.tools.reader import Reader
from piv_mcp.tools.spec import Ctx, read
from piv_mcp.tools.unknowns import unheard
from piv_mcp.tools.waits import After, Timeout, join, progress

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
        note=join(*reader.notes, *_remarks(type, total)),
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
    match = await _fields(app, ids)
    kinds = able if "queue_id" in ids else types
    others = {name: value for name, value in match.items() if name != "piv_num_id"}
    about = cursor.about(match.get("piv_num_id"), types, others)
    reader = await Reader.at(app, after, about=about, shown_by=LISTED)
    waited = await wait.wait_for_event(
        app.inbox,
        types=kinds,
        match=match,
        seconds=timeout_seconds,
        progress=progress(ctx, f"waiting for {' or '.join(types) or 'an event'}"),
        cursor=reader.cursor,
    )
    rows = await rows_of(app, waited.found)
    notes = list(reader.notes)
    if never := [name for name in types if name not in able]:
        notes.append(f"No event of the type {' or '.join(never)} can come here: it names no {' and '.join(ids)}.")
    if waited.earlier:
        notes.append("One came that is older than the wait, by its own time: list_events shows it.")
    if not waited.found:
        going_on = f"Nothing yet. To go on waiting, call again with after={reader.after(waited.cursor)}."
        notes += [going_on, *await unheard(app)]
        notes += [f"{IDS[name].shown_by} shows the state now." for name in ids if IDS[name].shown_by]
    return WaitedEvents(
        status="ok" if waited.found else "timeout",
        events=[rows.event(event) for event in waited.found],
        after=reader.after(waited.cursor),
        waited_seconds=round(waited.seconds, 1),
        follow_up=_download(waited.found),
        note=join(*notes),
        untrusted=rows.fence.notice,
        store=reader.owner,
    )


@dataclass(frozen=True, slots=True)
class _Id:
    """How an event is found by an id: the `field` of its data that names it, in events of these `types`. `shown_by` is
    the tool that shows how far the thing is."""

    field: str
    types: tuple[EventType, ...]
    shown_by: str | None = None


IDS: Mapping[str, _Id] = {
    "number": _Id(
        "piv_num_id",
        ("sms.received", "sms.status_updated", "number.restore_completed", "verify.completed", "verify.failed"),
    ),
    "message_id": _Id("message_id", ("sms.status_updated",), "list_sms"),
    "domain_id": _Id("domain_id", ("domain.registered", "domain.failed", "domain.expires_soon"), "get_domain"),
    "order_id": _Id("order_id", ("proxy.expires_soon",), "get_proxy_order"),
    "white_id": _Id("job_id", ("white.completed", "white.failed"), "get_white"),
    # No event names the entry of the queue: piv.day is asked for its domain.
    "queue_id": _Id("domain_name", ("domain.registered", "domain.failed"), "get_domain_queue"),
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


async def _fields(app: Services, ids: Mapping[str, str]) -> dict[str, str]:
    """The ids as fields of the events' data."""
    fields = {IDS[name].field: value for name, value in ids.items()}
    if "number" in ids:
        fields[IDS["number"].field] = await app.phonebook.resolve(ids["number"])
    if "queue_id" in ids:
        entry = await app.client.domains.queue(ids["queue_id"])
        if not entry.domain_name:
            raise InvalidRequestError(
                "queue_id: piv.day does not say for which domain this is",
                code="VALIDATION_ERROR",
                hint="Wait by domain_id, or call get_domain_queue",
            )
        fields[IDS["queue_id"].field] = entry.domain_name
    return fields


def _download(found: list[StoredEvent]) -> FollowUp | None:
    """The call for the archive of a site that is finished."""
    ids = [event.subject for event in found if event.type == "white.completed" and event.subject]
    return FollowUp(tool="get_white_download", arguments={"white_id": ids[-1]}) if ids else None


TOOLS = (
    read(list_events, "Events", local=True),
    read(wait_for_event, "Wait for an event", local=True),
)
