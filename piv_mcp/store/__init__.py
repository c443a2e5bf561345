"""SQL, and only here: what must survive a crash, in one SQLite file that all processes of the machine share.

`database.py` commits; `recovery.py` sets a damaged file aside. The other modules hold the SQL of their tables as named
functions of a `Connection`, which `Store.read` and `Store.write` run.
"""

from piv_mcp.store.connection import Connection
from piv_mcp.store.database import Store

__all__ = ["Connection", "Store"]
