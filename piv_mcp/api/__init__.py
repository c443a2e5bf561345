"""piv.day's REST API as a typed async client; knows nothing of MCP."""
