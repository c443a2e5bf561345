"""The terminal: the commands of `piv-mcp`."""
