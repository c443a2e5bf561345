"""What an answer of the inbox cannot know: a source that could not be asked, or that has never given anything."""

from datetime import UTC, datetime

from piv_mcp.services import Services
from piv_mcp.store import facts


def clock_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


async def unread(app: Services, piv_num_id: str) -> list[str]:
    """Why the number's SMS history was not read, and since when; nothing if it was."""
    if app.api is None:
        return ["No API key is set, so the SMS history cannot be read: only webhooks bring messages."]
    trouble = await app.history.trouble(piv_num_id)
    if trouble is None:
        return []
    since = clock_time(trouble.since)
    return [f"The SMS history could not be read since {since} ({trouble.problem}): a message may be missing."]


async def leased(app: Services, piv_num_id: str | None) -> list[str]:
    """Until when what comes to the number is not shown, since another has leased it."""
    lease = await app.store.leased_by_another(piv_num_id) if piv_num_id is not None else None
    if lease is None:
        return []
    return [f"Another agent has leased this number until {clock_time(lease.until)}: what came since is not shown."]


async def unheard(app: Services) -> list[str]:
    """Why no webhook may have come, as far as this process knows."""
    if (problem := app.receiving.problem()) is not None:
        return [problem]
    if await app.store.read(facts.own_number, facts.WEBHOOK_RECEIVED):
        return []
    return ["No webhook has ever been received here."]
