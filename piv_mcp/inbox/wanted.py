"""Which codes a caller wants, by what the SMS history tells of their messages."""

import unicodedata
from dataclasses import dataclass

from piv_mcp.inbox import cursor
from piv_mcp.store.event import StoredEvent
from piv_mcp.text import phones


@dataclass(frozen=True, slots=True)
class Wanted:
    """Only codes from a message that the history has (`confirmed_only`), that is from this `sender`, and whose text
    `contains` these words. Only the history names a sender: to a message that it does not have, none is known yet.
    """

    confirmed_only: bool = False
    sender: str | None = None
    contains: str | None = None

    @property
    def must_be_confirmed(self) -> bool:
        return self.confirmed_only or self.sender is not None

    @property
    def is_narrow(self) -> bool:
        """Whether messages are left out by what they are."""
        return self.sender is not None or self.contains is not None

    def takes(self, event: StoredEvent) -> bool:
        return self.may_take(event) and (event.confirmed or not self.must_be_confirmed)

    def may_take(self, event: StoredEvent) -> bool:
        """Whether it takes a message, or would if the history had it, as far as known."""
        if self.contains is not None and _folded(self.contains) not in _folded(event.text or ""):
            return False
        return self.sender is None or not event.confirmed or is_sender(self.sender, event.sender or "")

    def awaits(self, event: StoredEvent) -> bool:
        """Whether it would take a message if the history had it."""
        return self.may_take(event) and not self.takes(event)

    def refuses(self, event: StoredEvent) -> bool:
        """Whether it will never take a message. The history may yet bring another text, and a sender."""
        return event.confirmed and not self.takes(event)

    def about(self, piv_num_id: str | None) -> int:
        """What an answer with these codes is about: see `Cursor`."""
        told = {"sender": self.sender, "contains": self.contains}
        return cursor.about(piv_num_id, match={name: _folded(text) for name, text in told.items() if text is not None})


def is_sender(asked: str, sender: str) -> bool:
    """Whether a message's sender is the one asked for: the same phone number in any form, or a name with this in it."""
    if phones.is_number(asked):
        return phones.is_same(asked, sender)
    return _folded(asked) in _folded(sender)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
