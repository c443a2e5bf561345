"""All SQL of the project. Data that must survive a crash is kept in one SQLite file, shared by all processes of the
machine.

`database.py` opens the file and commits; `recovery.py` replaces a damaged file. The other modules hold the SQL of their
tables as named functions that take a `Connection`; `Store.read` and `Store.write` run them.
"""

from piv_mcp.store.connection import Connection
from piv_mcp.store.database import Store

__all__ = ["Connection", "Store"]
