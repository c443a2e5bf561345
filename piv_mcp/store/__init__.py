"""All SQL of the project. Data that must survive a crash is kept in one SQLite file, shared by all processes of the
machine.

`database.py` commits, on a file that `opening.py` opens. `recovery.py` makes the file anew when it is damaged or gone,
with what `salvage.py` can read of it, by SQLite or from its pages; where there is a new one already, `joining.py` adds
what it lacks. `space.py` gives space back, and `backup.py` is for
the owner. The other modules hold the SQL of their tables as named functions that take a `Connection`; `Store.read` and
`Store.write` run them.
"""

from piv_mcp.store.connection import Connection
from piv_mcp.store.database import SqliteStore
from piv_mcp.store.interface import Store

__all__ = ["Connection", "SqliteStore", "Store"]
