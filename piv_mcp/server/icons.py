"""The icons that clients show beside the server and its tools: one for each area."""

from base64 import b64encode
from functools import cache
from pathlib import Path

from mcp.types import Icon

FOLDER = Path(__file__).with_name("icons")


@cache
def icon(name: str) -> Icon:
    """The icon of an area, of the `sandbox`, or of the `server`. It holds its picture, so that no client has to ask a
    host for it."""
    picture = b64encode((FOLDER / f"{name}.svg").read_bytes()).decode()
    return Icon(src=f"data:image/svg+xml;base64,{picture}", mime_type="image/svg+xml", sizes=["any"])
