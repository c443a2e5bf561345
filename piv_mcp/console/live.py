"""Tells an open page of changes, by server-sent events."""

import hashlib
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Literal

from piv_mcp.errors import PivError
from piv_mcp.store.changes import Changes
from piv_mcp.text.times import Clock

BEAT_SECONDS = 5.0
"""How often an open page is looked at without a change, for what time alone changes. A page is known to be open for
`WATCHED_SECONDS` after that."""

CALM_SECONDS = 0.2
"""Between two looks at least, however fast the store changes."""

RETRY_MILLISECONDS = 2000
"""How long a browser waits after an interruption."""

Ended = Literal["closed", "gone"]
"""The server serves the pages no more; or this guest is to be shown something else than the page."""


def digest(state: object) -> str:
    """Changes when the state of a page does."""
    return hashlib.sha256(repr(state).encode("utf-8", "replace")).hexdigest()[:16]


async def told(
    look: Callable[[], Awaitable[str | Ended]],
    seen: str | None,
    changes: Changes,
    clock: Clock,
    beat: Callable[[], Awaitable[None]] | None = None,
) -> AsyncGenerator[str]:
    """The events for a page that shows `seen`. `look` gives the digest of what it would show now, or why it ends.
    `beat` is called every `BEAT_SECONDS` and no sooner: it may write, which is a change."""
    beaten_at = -math.inf
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    while not changes.stopping:  # else the process ends: the browser asks again, whoever serves then
        version = changes.version
        try:
            now = await look()
            is_open = now not in ("closed", "gone")
            if is_open and beat is not None and clock.monotonic() - beaten_at >= BEAT_SECONDS:
                beaten_at = clock.monotonic()
                await beat()
        except PivError:  # the store may be locked for a moment: the next look tells
            now = seen
        if now == "closed" or now == "gone":
            yield f"event: {now}\ndata:\n\n"
            return
        if now != seen:
            seen = now
            yield f"event: change\ndata: {now}\n\n"
        else:
            yield ":\n\n"  # finds out whether anybody still listens
        await clock.sleep(CALM_SECONDS)
        await changes.wait(version, BEAT_SECONDS - CALM_SECONDS)
