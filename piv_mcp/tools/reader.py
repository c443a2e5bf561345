"""Where a caller of the inbox goes on reading: the cursor that it gives, and what is to be said of it."""

from dataclasses import dataclass, replace

from piv_mcp.inbox import cursor
from piv_mcp.inbox.cursor import Cursor, CursorError
from piv_mcp.services import Services
from piv_mcp.store import events
from piv_mcp.store.salvage import last_damage
from piv_mcp.text.times import utc

NOT_GIVEN = frozenset({"", "0", "null", "none", "undefined"})
"""What clients and models write for a cursor that they do not have."""

CURSOR = rf"{cursor.VERSION}[A-Za-z0-9_-]+|[0-9]{{1,20}}|(?i:{'|'.join(sorted(NOT_GIVEN - {'', '0'}))})|"
"""What can be read as a cursor, or as none. Numbers are what version 0.1.0 gave."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Where a caller goes on reading, and what is to be said of that. `about` is what its answer is about."""

    cursor: Cursor | None
    owner: bytes
    about: int
    notes: list[str]

    @classmethod
    async def at(cls, app: Services, after: str | None, *, about: int, shown_by: str, within: int = 0) -> "Reader":
        """`shown_by` names what shows what a cursor of an answer about something else has passed. An answer about
        `within` has shown all that one about `about` shows."""
        owner = await app.store.read(cursor.identity)
        if after is None or after.strip().casefold() in NOT_GIVEN:
            return cls(None, owner, about, [])
        try:
            where = cursor.read(after.strip(), owner)
        except CursorError as error:
            # Do not continue from the first event: a code of hours ago would be returned as the one waited for.
            ignored = f"The given after {error.message}: it is ignored, and only the last minute counts."
            return cls(None, owner, about, [ignored])
        pruned, last = await app.store.read(events.span)
        if where.seq > last:
            return cls(None, owner, about, ["The given after is of a later state of this inbox: it is ignored."])
        notes: list[str] = []
        if not where.covers(about, within):
            notes.append(
                "The given after is of an answer about something else: what came here before that answer may not be"
                f" shown. {shown_by} shows it."
            )
        damage = await app.store.read(last_damage)
        if where.seq < pruned:
            notes.append(f"Events after it, up to {pruned}, are gone: the inbox no longer keeps them.")
        elif damage is not None and damage.lost and where.seq < damage.through:
            lost = f"{damage.lost} rows of the inbox could not be read after damage to its file"
            notes.append(f"{lost} at {utc(damage.at):%Y-%m-%d %H:%M} UTC: an event may be missing.")
        return cls(where, owner, about, notes)

    def after(self, where: Cursor) -> str:
        return cursor.write(replace(where, about=self.about), self.owner)
