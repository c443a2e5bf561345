"""piv-mcp: the MCP server for a piv.day account."""

__version__ = "0.1.0"
