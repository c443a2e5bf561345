"""The configuration files of MCP clients: where each is, its form, and our entry in it."""
