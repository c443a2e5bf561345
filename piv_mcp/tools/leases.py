"""Tools of leases: a number for one agent at a time."""

from typing import Annotated

from pydantic import Field

from piv_mcp.api.models import SMALL_PAGE, UtcDatetime
from piv_mcp.api.numbers import Number
from piv_mcp.api.paging import all_rows
from piv_mcp.api.readings import Span
from piv_mcp.errors import NotFoundError, NumberStateError
from piv_mcp.inbox import cursor, leasing
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.services import Services, services
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.store.number_leases import MOST_MINUTES
from piv_mcp.text.times import utc
from piv_mcp.tools.answers import Answer
from piv_mcp.tools.parameters import PivNumId, at_most, limited
from piv_mcp.tools.spec import Ctx, write

LIST_AGE = 30.0
"""How old the list of numbers may be from which one is chosen, in seconds."""

MAX_CANDIDATES = 2000
"""Numbers of which one is chosen."""


Country = Annotated[str, limited(2, least=2, form="[A-Za-z]{2}", words="two letters, such as SE")]


class LeasedNumber(Answer):
    """A number for this caller alone, until then."""

    piv_num_id: str
    phone_number: str | None = None
    until: UtcDatetime
    after: str
    follow_up: FollowUp


class ReleasedNumber(Answer):
    piv_num_id: str
    released: bool
    note: str | None = None


async def lease_number(
    ctx: Ctx,
    country: Country | None = None,
    number: PivNumId | None = None,
    minutes: Annotated[int, Field(ge=1, strict=True), at_most(MOST_MINUTES)] = 15,
) -> LeasedNumber:
    """Lease (reserve) an active number, by default that idle longest: no other agent sees what comes. Again:
    extends."""
    app = await services(ctx)
    found = await _candidates(app, country and country.upper(), number)
    remote_now = app.inbox.remote_time()
    lease = await leasing.lease(
        app.store,
        [item.piv_num_id for item in found],
        now=app.clock.time(),
        remote_now=remote_now,
        minutes=minutes,
        extends=number is not None,
    )
    owner = await app.store.read(cursor.identity)
    after = cursor.write(Cursor(lease.seq, at=int(lease.remote_since or 0)), owner)
    return LeasedNumber(
        piv_num_id=lease.number,
        phone_number=next(item.phone_number for item in found if item.piv_num_id == lease.number),
        until=utc(lease.until),
        after=after,
        follow_up=FollowUp(tool="wait_for_code", arguments={"number": lease.number, "after": after}),
    )


async def release_number(ctx: Ctx, number: PivNumId) -> ReleasedNumber:
    """Release a leased number to the other agents."""
    app = await services(ctx)
    piv_num_id = await app.phonebook.resolve(number)
    released = await leasing.release(app.store, piv_num_id, now=app.clock.time())
    note = None if released else "There was no lease of yours on it, or it had ended."
    return ReleasedNumber(piv_num_id=piv_num_id, released=released, note=note)


async def _candidates(app: Services, country: str | None, number: str | None) -> list[Number]:
    """The active numbers of which one is meant, one at least."""
    client = app.client.recent(Span(max_age=LIST_AGE)).numbers
    if number is not None:
        item = await client.get(await app.phonebook.resolve(number))
        if item.status not in (None, "active") or item.can_receive_sms is False:
            raise NumberStateError(
                f"{item.phone_number or item.piv_num_id} is not active, or cannot receive SMS", code="NUMBER_NOT_ACTIVE"
            )
        return [item]
    listed, _ = await all_rows(client.list, SMALL_PAGE, most=MAX_CANDIDATES, status="active", country=country)
    app.phonebook.remember(listed)
    if found := [item for item in listed if item.can_receive_sms is not False]:
        return found
    where = f" in {country}" if country else ""
    raise NotFoundError(
        f"there is no active number{where} that can receive SMS",
        code="NUMBER_NOT_FOUND",
        hint="list_numbers shows the numbers",
    )


TOOLS = (
    write(lease_number, "Lease a number", destructive=False, idempotent=False),
    write(release_number, "Release a number", destructive=False, idempotent=True, local=True),
)
