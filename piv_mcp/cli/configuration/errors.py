"""What can be wrong with a client's configuration file."""

from piv_mcp.errors import PivError


class UnreadableError(PivError):
    """A configuration file that cannot be understood, so that it is left as it is."""

    code = "UNREADABLE_FILE"


class UnwritableError(PivError):
    """A configuration file that cannot be changed; it is as it was."""

    code = "UNWRITABLE_FILE"
