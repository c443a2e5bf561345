"""The inbox as the person sees it: all that came, also what an agent has leased, the newest first.

Whatever a message says is a stranger's text: it is shown as text, and a link in it is none here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

from starlette.responses import Response

from piv_mcp.api.numbers import Number
from piv_mcp.console.look import PersonLook
from piv_mcp.console.rendering import page
from piv_mcp.inbox.codes.links import MAX_LINK_CHARS, host_of
from piv_mcp.inbox.codes.parts import parts_of
from piv_mcp.inbox.confirming import Confirmation, confirmation
from piv_mcp.store import Connection, listing, polls
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.listing import EventList, InboxSearch, Place
from piv_mcp.store.polls import Look
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line, visible

EVENTS_OF_A_PAGE = 30

STALE_SECONDS = 600.0
"""A code that is older is hardly valid any more."""

MAX_SEARCH = 100
"""Characters."""

FIELDS_SHOWN = 12
"""Fields of another event than a message that are shown."""

MIN_DIGITS_SOUGHT = 3
"""Fewer digits are looked for in texts alone, and not in phone numbers."""

_PLACE = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)_(\d{1,18})")
_NO_DIGITS = re.compile(r"[\s()+./-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """An event as the page shows it. `at` is the message's own time, or when it reached the account; `age` is in
    seconds, None if it is not known."""

    seq: int
    at: datetime
    age: float | None
    is_message: bool
    type: str
    number: str | None
    name: str | None
    sender: str | None
    code: str | None
    link: str | None
    host: str | None
    text: str | None
    part: tuple[int, int] | None
    confirmed: Confirmation | None
    is_stale: bool
    fields: Sequence[tuple[str, str]]


async def inbox(look: PersonLook) -> Response:
    asked = _Asked.of(look)
    listed, looks = await _listed(look, asked)
    known = {number.piv_num_id: number for number in look.app.phonebook.known()}
    rows = [_row(look, event, looks, known) for event in listed.events]
    older = listing.place_of(listed.events[-1]) if listed.more else None
    values: dict[str, Any] = {
        "rows": rows,
        "asked": asked,
        "here": look.path("inbox"),
        "is_everything": asked.kind == "all",
        "messages_path": _path(look, asked, kind="messages"),
        "everything_path": _path(look, asked, kind="all"),
        "newest_path": _path(look, asked) if asked.before is not None else None,
        "older_path": None if older is None else _path(look, asked, before=older),
        "searched_to": None if listed.searched_to is None else utc(listed.searched_to[0]),
        "searched": listing.SEARCHED_EVENTS,
        "further_path": None if listed.searched_to is None else _path(look, asked, before=listed.searched_to),
        "has_key": look.app.api is not None,
        "problem": look.app.receiving.problem(),
    }
    return page(look, "inbox.html", **values)


async def state(look: PersonLook) -> object:
    """What of the page's events can change, and whether there are others."""
    listed, looks = await _listed(look, _Asked.of(look))
    now, remote_now = look.app.clock.time(), look.app.inbox.remote_time()
    return [
        (event.seq, event.code, event.link, _confirmed(event, looks), _is_stale(event.age(now, remote_now)))
        for event in listed.events
    ]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the address of the page asks for."""

    search: str = ""
    kind: Literal["messages", "all"] = "messages"
    before: Place | None = None

    @classmethod
    def of(cls, look: PersonLook) -> "_Asked":
        query = look.request.query_params
        place = _PLACE.fullmatch(query.get("before", ""))
        before = None if place is None else (float(place[1]), int(place[2]))
        search = " ".join(query.get("q", "").split())[:MAX_SEARCH]
        return cls(search, "all" if query.get("show") == "all" else "messages", before)


def _path(
    look: PersonLook, asked: _Asked, *, kind: Literal["messages", "all"] | None = None, before: Place | None = None
) -> str:
    """The path of the page with the same search and kind, or with another kind, or from a place on."""
    given = {"q": asked.search} if asked.search else {}
    given |= {"show": "all"} if (kind or asked.kind) == "all" else {}
    given |= {} if before is None else {"before": f"{before[0]:.9f}_{before[1]}"}
    return f"{look.path('inbox')}?{urlencode(given)}" if given else look.path("inbox")


async def _listed(look: PersonLook, asked: _Asked) -> tuple[EventList, Mapping[str, Look]]:
    """The page's events, and the last looks at the histories of their numbers."""
    sought = InboxSearch(asked.search, _numbers_like(look, asked.search)) if asked.search else None
    return await look.app.store.everything.read(_read, asked, sought)


def _read(connection: Connection, asked: _Asked, sought: InboxSearch | None) -> tuple[EventList, Mapping[str, Look]]:
    messages_only = asked.kind == "messages"
    found = listing.newest(
        connection, messages_only=messages_only, before=asked.before, sought=sought, limit=EVENTS_OF_A_PAGE
    )
    unconfirmed = {event.subject for event in found.events if event.text is not None and not event.confirmed}
    return found, polls.looks(connection, sorted(filter(None, unconfirmed)))


def _numbers_like(look: PersonLook, search: str) -> list[str]:
    """The ids of the numbers that have this text in their name, or these digits in their phone number."""
    digits = _NO_DIGITS.sub("", search)
    digits = digits if digits.isdecimal() and len(digits) >= MIN_DIGITS_SOUGHT else ""
    return [
        number.piv_num_id
        for number in look.app.phonebook.known()
        if (digits and digits in _NO_DIGITS.sub("", number.phone_number or ""))
        or search.casefold() in (number.custom_name or "").casefold()
    ]


def _row(look: PersonLook, event: StoredEvent, looks: Mapping[str, Look], known: Mapping[str, Number]) -> InboxRow:
    is_message = event.text is not None
    number = known.get(event.subject or "")
    phone = look.app.phonebook.phone_of(event.subject) if event.subject else None
    age = event.age(look.app.clock.time(), look.app.inbox.remote_time())
    return InboxRow(
        seq=event.seq,
        at=utc(event.moment if event.sent_at is None else event.sent_at),
        age=age,
        is_message=is_message,
        type=one_line(event.type),
        number=one_line(phone or event.subject) if event.subject else None,
        name=one_line(number.custom_name) if number is not None and number.custom_name else None,
        sender=one_line(event.sender) if event.sender else None,
        code=one_line(event.code) if event.code else None,
        link=one_line(event.link, MAX_LINK_CHARS) if event.link else None,
        host=host_of(event.link) if event.link else None,
        text=visible(event.text) if event.text is not None else None,
        part=parts_of(event.text) if event.text is not None and event.code is None else None,
        confirmed=_confirmed(event, looks) if is_message else None,
        is_stale=event.sign_in is not None and _is_stale(age),
        fields=[] if is_message else _fields(event),
    )


def _confirmed(event: StoredEvent, looks: Mapping[str, Look]) -> Confirmation:
    return confirmation(event, looks.get(event.subject or "", Look()))


def _is_stale(age: float | None) -> bool:
    return age is None or age > STALE_SECONDS


def _fields(event: StoredEvent) -> list[tuple[str, str]]:
    """The simple values of an event's data, which a stranger may have sent."""
    simple = [(name, value) for name, value in event.data.items() if isinstance(value, str | int | float)]
    return [(one_line(name), one_line(str(value), 200)) for name, value in simple[:FIELDS_SHOWN]]
