"""`python -m piv_mcp`."""

from piv_mcp.cli.main import main

main()
