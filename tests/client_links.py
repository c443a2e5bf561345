"""The links in the README that install the server in a client with a click. None holds a key."""

import json
from base64 import b64encode
from typing import TypedDict
from urllib.parse import quote, urlencode

from piv_mcp import __version__


class Command(TypedDict):
    """How a client starts the server."""

    command: str
    args: list[str]


NAME = "piv"
COMMAND: Command = {"command": "uvx", "args": [f"piv-mcp=={__version__}"]}
"""uvx takes the package from PyPI. A link that is older than the page installs the version that it was made for."""

KEY_FILE = "~/.piv-mcp/api-key"
"""For a client that has no field for secrets. The server understands `~`."""

KEY_INPUT = {"id": "piv-api-key", "type": "promptString", "description": "piv.day API key", "password": True}
"""What VS Code asks for at the first start, and keeps."""


def cursor() -> str:
    """Cursor takes the entry of its configuration file, in base64."""
    entry = json.dumps({**COMMAND, "env": {"PIV_API_KEY_FILE": KEY_FILE}}, separators=(",", ":"))
    return "https://cursor.com/en/install-mcp?" + urlencode({"name": NAME, "config": b64encode(entry.encode())})


def vscode() -> str:
    """VS Code takes the entry of its configuration file and the inputs that the entry names, as JSON."""
    entry = {"type": "stdio", **COMMAND, "env": {"PIV_API_KEY": f"${{input:{KEY_INPUT['id']}}}"}}
    query = {"name": NAME, "inputs": json.dumps([KEY_INPUT]), "config": json.dumps(entry)}
    return "https://insiders.vscode.dev/redirect/mcp/install?" + urlencode(query, quote_via=quote)


def lines(words: str = "Install in {client}") -> list[str]:
    """The links as a list in Markdown, each in these `words`."""
    links = {"Cursor": cursor(), "VS Code": vscode()}
    return [f"- [{words.format(client=client)}]({link})" for client, link in links.items()]
