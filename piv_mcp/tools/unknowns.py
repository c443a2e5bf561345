"""What an answer of the inbox cannot know: a source that could not be asked, or that has never given anything."""

from datetime import UTC, datetime

from piv_mcp.services import Services
from piv_mcp.store import facts

NO_KEY = "No API key is set, so the SMS history cannot be read: only webhooks bring messages."
NO_WEBHOOKS = "No webhook has ever been received here: only the SMS history is read, every few seconds."
NOTHING = "No source works: no message can arrive."


async def unknowns(app: Services, piv_num_id: str | None) -> list[str]:
    """Sentences on the sources of messages, none if all is well."""
    webhooks = await app.store.read(facts.own_number, facts.WEBHOOK_RECEIVED) > 0
    said: list[str] = []
    if app.api is None:
        said.append(NO_KEY)
    elif piv_num_id is not None and (trouble := await app.history.trouble(piv_num_id)) is not None:
        since = datetime.fromtimestamp(trouble.since, UTC).strftime("%H:%M:%S")
        said.append(
            f"The SMS history could not be read since {since} UTC ({trouble.problem}):"
            " a message may be there that is not here."
        )
    if (problem := app.receiving.problem()) is not None:
        said.append(problem)
    elif not webhooks:
        said.append(NO_WEBHOOKS if app.api is not None else NOTHING)
    return said
