"""What a process knows of the looks at one number's history."""

import asyncio
import math
from dataclasses import dataclass, field

from piv_mcp.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a history, or a part of it, cannot be read, and since when (seconds since the epoch, on this machine)."""

    problem: str
    since: float


@dataclass(slots=True)
class Watch:
    """One number that is polled. `missing` is the error that ended the polling: the account has no such number.
    `polled_at` is when this process last began a poll, `looked_at` when it last began one that succeeded (monotonic
    seconds), `asked_at` when it began one that has not ended. `trouble` says why the last poll failed, or what it could
    not read, and `failed_at` when that poll began (seconds since the epoch, on this machine). `is_resting` between two
    polls. `backfill` is the look of back-fill that is under way."""

    watchers: int = 0
    polled_at: float = -math.inf
    looked_at: float = -math.inf
    asked_at: float | None = None
    task: asyncio.Task[None] | None = None
    missing: NotFoundError | None = None
    trouble: "Trouble | None" = None
    failed_at: float = 0.0
    is_resting: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    backfill: asyncio.Task[int] | None = None
