"""Times for people: the store counts seconds since the epoch."""

from datetime import UTC, datetime


def utc(seconds: float) -> datetime:
    """A stored time as an aware one, to the second."""
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def span(seconds: float) -> str:
    """A length of time in one unit, such as `3 hours`."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0.0, seconds))} seconds"
