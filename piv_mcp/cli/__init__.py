"""The command line: the commands of `piv-mcp`."""
