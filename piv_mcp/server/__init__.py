"""MCP: the server that a client connects to."""

from piv_mcp.server.build import build_server

__all__ = ["build_server"]
