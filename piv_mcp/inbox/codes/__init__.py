"""Find the one-time code in the text of an SMS."""

from piv_mcp.inbox.codes.extract import extract_code

__all__ = ["extract_code"]
