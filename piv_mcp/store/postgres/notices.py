"""What a notice of a commit says: accounts, and the ids of what their events are about. No text, no code."""

import json
from collections.abc import Mapping
from typing import cast

from piv_mcp.store.interface import Subjects

MOST_NOTICE_BYTES = 7000
"""Of a notice. PostgreSQL takes no more than 8,000."""

Concerned = Mapping[int, Subjects]
"""What a commit was about, by account."""


def written(concerned: Concerned) -> str:
    """The notice. Where it would be too long, anything may have changed."""
    told = json.dumps(
        {account: None if subjects is None else list(subjects) for account, subjects in concerned.items()},
        separators=(",", ":"),
    )
    return told if len(told) <= MOST_NOTICE_BYTES else json.dumps(dict.fromkeys(concerned))


def read(notice: str) -> Concerned:
    """What a notice says; nothing, which stands for anything, if it is none of ours."""
    try:
        told = cast("dict[str, list[str | None] | None]", json.loads(notice))
        return {int(account): subjects for account, subjects in told.items()}
    except (ValueError, AttributeError):
        return {}
