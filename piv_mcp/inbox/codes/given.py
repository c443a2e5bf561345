from typing import Literal
from piv_mcp.inbox.codes.extract import extract_code


def choose_code(text: str | None, given: object) -> tuple[str | None, Literal["api", "text"] | None]:
    if isinstance(given, str | int) and not isinstance(given, bool) and (text is None or str(given) in text):
        return str(given), "api"
    found = extract_code(text) if text else None
    return found, ("text" if found else None)
