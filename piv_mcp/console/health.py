"""Health: what `piv-mcp doctor` finds, what has come by webhook, how busy the minute is, and who runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import RedirectResponse, Response

from piv_mcp import __version__
from piv_mcp.api.rate_limit import ALL, Priority
from piv_mcp.console.look import HealthFinding, PersonLook
from piv_mcp.console.rendering import page
from piv_mcp.store import Connection, events, facts, listing, minute, servers
from piv_mcp.store.servers import Server
from piv_mcp.text.language import Language
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import visible

WEBHOOK_AMONG = 5_000
"""So many of the newest events are looked through for the last webhook."""

EXAMINED = "examination"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store tells. Times are seconds since the epoch."""

    events: int
    last_event: float | None
    last_webhook: float | None
    wrong_secrets: int
    last_wrong_secret: float
    servers: Sequence[Server]


async def health(look: PersonLook) -> Response:
    app, language = look.app, look.language
    now = app.clock.time()
    stored = await app.store.everything.read(_stored, now)
    used, pause = await app.store.everything.requests.run(minute.in_the_last_minute, app.clock.monotonic())
    found = None if look.examine is None else await look.kept.get(app, EXAMINED, look.examine)
    findings = [] if found is None else [_shown(finding) for finding in found.value]
    values: dict[str, Any] = {
        "findings": findings,
        "faults": sum(not finding["ok"] for finding in findings),
        "examined_at": None if found is None else _since(look, found.at, now),
        "stored": stored,
        "last_event": _since(look, stored.last_event, now),
        "last_webhook": _since(look, stored.last_webhook, now),
        "last_wrong_secret": _since(look, stored.last_wrong_secret or None, now),
        "webhook_problem": app.receiving.problem(),
        "webhook_address": app.receiving.serving_at(),
        "used": sum(used.values()),
        "used_by": [(_PRIORITIES[priority](language), count) for priority, count in used.items() if count],
        "most": ALL,
        "paused": max(0.0, pause.until - app.clock.monotonic()),
        "running": [(server, language.moment(utc(server.started_at))) for server in stored.servers],
        "days": app.inbox.days,
        "version": __version__,
        "is_sandbox": app.sandbox is not None,
    }
    return page(look, "health.html", **values)


async def examine_anew(look: PersonLook) -> Response:
    if look.examine is not None:
        await look.kept.get(look.app, EXAMINED, look.examine, anew=True)
    return RedirectResponse(look.path("health"), 303, headers={"Cache-Control": "no-store"})


def _stored(connection: Connection, now: float) -> Stored:
    count, last = events.summary(connection)
    return Stored(
        events=count,
        last_event=last,
        last_webhook=listing.last_webhook(connection, WEBHOOK_AMONG),
        wrong_secrets=facts.counted(connection, facts.WRONG_SECRET)[0],
        last_wrong_secret=facts.counted(connection, facts.WRONG_SECRET)[1],
        servers=[server for server in servers.living(connection, now) if server.account == connection.account],
    )


def _since(look: PersonLook, at: float | None, now: float) -> tuple[datetime, float] | None:
    """When something was, and how many seconds ago."""
    return None if at is None else (utc(at), max(0.0, now - at))


def _shown(finding: HealthFinding) -> dict[str, Any]:
    advice = None if finding.do is None else visible(finding.do)
    return {"what": visible(finding.what), "ok": finding.ok, "state": visible(finding.state), "do": advice}


_PRIORITIES: Mapping[Priority, Callable[[Language], str]] = {
    Priority.PERSON: lambda language: language.gettext("calls"),
    Priority.WAIT: lambda language: language.gettext("waits for events"),
    Priority.BACKFILL: lambda language: language.gettext("in the background"),
}
