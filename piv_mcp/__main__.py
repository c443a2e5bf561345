"""`python -m piv_mcp`."""

from piv_mcp.cli import main

main()
