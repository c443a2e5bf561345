"""The words of piv.day and of the journal as a person reads them, in their language."""

from typing import Literal

from piv_mcp.spending.receipt import Outcome
from piv_mcp.store.pending import Kind
from piv_mcp.text.language import Language
from piv_mcp.text.untrusted import one_line

Tone = Literal["good", "bad", "wait", "off"]
"""How a state is to be taken: the name of a style."""


def area_name(area: str, language: Language) -> str:
    """An area of the journal, or the word itself if it is none."""
    _ = language.gettext
    names = {"numbers": _("Numbers"), "proxies": _("Proxies"), "domains": _("Domains"), "whites": _("Sites")}
    return names.get(area, one_line(area))


def outcome_words(outcome: Outcome, language: Language) -> tuple[str, Tone]:
    """The state of an entry, and how it is to be taken."""
    _ = language.gettext
    words: dict[Outcome, tuple[str, Tone]] = {
        "quoted": (_("Waits for approval"), "wait"),
        "approved": (_("Approved, not sent yet"), "wait"),
        "executing": (_("Being carried out"), "wait"),
        "charged": (_("Charged"), "good"),
        "done": (_("Done, at no cost"), "good"),
        "declined": (_("Declined"), "off"),
        "cancelled": (_("Closed without an answer"), "off"),
        "expired": (_("Expired"), "off"),
        "price_changed": (_("Not sent: it had changed"), "off"),
        "refused": (_("Refused by piv.day"), "bad"),
        "not_charged": (_("Did not happen"), "off"),
        "unknown": (_("Outcome unknown"), "bad"),
    }
    return words[outcome]


def status_words(status: str | None, language: Language) -> tuple[str, Tone]:
    """A status of piv.day, and how it is to be taken. One that is not known stands for itself."""
    _ = language.gettext
    words: dict[str, tuple[str, Tone]] = {
        "active": (_("Active"), "good"),
        "done": (_("Finished"), "good"),
        "expired": (_("Expired"), "off"),
        "failed": (_("Failed"), "bad"),
        "pending": (_("In progress"), "wait"),
        "pending_restore": (_("Being restored"), "wait"),
        "processing": (_("In progress"), "wait"),
        "purchasing": (_("Being registered"), "wait"),
        "queued": (_("Queued"), "wait"),
    }
    return words.get(status or "", (one_line(status) if status else _("Unknown"), "off"))


def in_progress_words(kind: Kind, language: Language) -> str:
    """What is in progress."""
    _ = language.gettext
    words: dict[Kind, str] = {
        "registration": _("Registration of a domain"),
        "renewal": _("Renewal of a domain"),
        "site": _("Generation of a site"),
        "restore": _("Restoring of numbers"),
        "message": _("Sending of an SMS"),
        "verification": _("Google verification"),
    }
    return words[kind]
