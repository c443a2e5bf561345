"""Commitments: a calendar of what ends or renews by itself, what that costs, and what can still be had back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from piv_mcp.console.asked import asked, asker, of_areas
from piv_mcp.console.look import PersonLook
from piv_mcp.console.rendering import page
from piv_mcp.spending.commitments import READERS, Commitment, automatic_cost, unknown_costs
from piv_mcp.text.language import Language
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line

PERIODS = (30, 90, 365)
"""Days that the page can look ahead."""

SINGLE_DAYS = 7
"""So far ahead, each day stands for itself; then each month."""


@dataclass(frozen=True, slots=True)
class CalendarPart:
    """What ends or is charged on one day, or in one month."""

    title: str
    rows: Sequence[Commitment]


async def commitments(look: PersonLook) -> Response:
    """The page."""
    if look.app.api is None:
        return page(look, "no_key.html", title=look.language.gettext("Commitments"))
    return page(look, "commitments.html", **await _values(look, anew=False))


async def ask_anew(look: PersonLook) -> Response:
    """Ask piv.day anew, and lead back to the page, which shows the answers."""
    if look.app.api is not None:
        await _values(look, anew=True)
    query = urlencode({"days": _days(look)})
    return RedirectResponse(f"{look.path(look.name)}?{query}", 303, headers={"Cache-Control": "no-store"})


async def _values(look: PersonLook, *, anew: bool) -> dict[str, Any]:
    language, clock, now, days = look.language, look.app.clock, utc(look.app.clock.time()), _days(look)
    client, span = await asker(look, anew=anew)
    latest = now + timedelta(days=days)
    account, (answered, problems) = await asyncio.gather(
        asked(client.account.get(), language, clock),
        of_areas(look, {area: read(client, now, latest) for area, read in READERS.items() if look.app.has(area)}),
    )
    rows = sorted((row for part in answered for row in part.rows), key=moment_of)
    cost, balance = automatic_cost(rows), None if account.answer is None else account.answer.balance
    return {
        "days": days,
        "periods": PERIODS,
        "calendar": _calendar([row for row in rows if not row.has_ended], now, language),
        "ended": [row for row in rows if row.has_ended],
        "cost": cost,
        "unknown": unknown_costs([row for row in rows if row.renewals]),
        "renewals": sum(row.renewals for row in rows),
        "balance": balance,
        "is_short": balance is not None and balance < cost,
        "left_out": sum(part.left_out for part in answered),
        "problems": problems,
        "read_at": None if span.began is None else utc(span.began),
        "moment_of": moment_of,
        "one_line": one_line,
    }


def moment_of(row: Commitment) -> datetime:
    """Where it is in the calendar: when it is charged, or ends."""
    return row.charged_at if row.renewals else row.ends_at


def _days(look: PersonLook) -> int:
    given = look.request.query_params.get("days", "")
    return next((days for days in PERIODS if str(days) == given), PERIODS[0])


def _calendar(rows: Sequence[Commitment], now: datetime, language: Language) -> list[CalendarPart]:
    found: dict[str, list[Commitment]] = {}
    for row in rows:
        found.setdefault(_title(moment_of(row), now, language), []).append(row)
    return [CalendarPart(title, part) for title, part in found.items()]


def _title(moment: datetime, now: datetime, language: Language) -> str:
    days = (moment.date() - now.date()).days
    if days < 0:
        return language.gettext("Due")
    if days == 0:
        return language.gettext("Today")
    if days == 1:
        return language.gettext("Tomorrow")
    return language.weekday(moment) if days < SINGLE_DAYS else language.month(moment)
