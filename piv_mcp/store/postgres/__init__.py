"""The store in PostgreSQL, shared by the servers of many machines.

Imported where the settings ask for it alone: psycopg takes longer to load than all of the store. `tables.py` has the
tables, `connection.py` the SQL's dialect, `link.py` a connection that is made anew when it is lost, `database.py` what
the stores of a process share, `transactions.py` how a transaction begins and ends, and `store.py` the `Store` itself.
"""
