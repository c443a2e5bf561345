"""What must survive a crash: events, approvals and the spending journal, in one SQLite file.

`database.py` knows how to commit; `events.py`, `journal.py`, `polls.py` and `requests.py` hold the SQL of their tables
as plain functions of a connection.
"""

from piv_mcp.store.database import Store

__all__ = ["Store"]
