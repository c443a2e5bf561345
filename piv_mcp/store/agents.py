"""The SQL of agents: who calls a server that many share, and what each may do.

An agent shows a token, of which the store keeps a digest, or comes through an identity provider, which names its
subject. Its limits come on top of its account's. Times are seconds since the epoch.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from piv_mcp.config import Area, SpendMode
from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import RowReader

SPENDERS: tuple[SpendMode, ...] = ("deny", "ask", "budget")
"""Who approves spending, by how much that allows."""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent. What is None is as the account's settings say.

    `token` is a digest; `toolsets` are words with commas between. With `numbers_only`, the agent sees no numbers but
    those of `numbers`. Money is decimal text in US dollars. `attended`: a person sits before its client.
    """

    name: str
    account: int
    token: str
    added_at: float
    subject: str | None = None
    toolsets: str | None = None
    read_only: int = 0
    numbers_only: int = 0
    spend_mode: str | None = None
    auto_approve_max: str | None = None
    daily_budget: str | None = None
    attended: int = 0
    revoked_at: float | None = None

    def areas_of(self, offered: Collection[Area]) -> tuple[Area, ...]:
        """Those of the areas that the agent has."""
        own = None if self.toolsets is None else self.toolsets.split(",")
        return tuple(area for area in offered if own is None or area in own)

    def mode_within(self, given: SpendMode) -> SpendMode:
        """Who approves what the agent spends where the account's settings say `given`: whoever allows less."""
        if self.spend_mode is None:
            return given
        own = SPENDERS.index(self.spend_mode) if self.spend_mode in SPENDERS else 0  # an unknown word allows nothing
        return SPENDERS[min(own, SPENDERS.index(given))]


_COLUMNS = tuple(Agent.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM agents"  # noqa: S608 - our own column names
_read = RowReader(Agent)


def digest(token: str) -> str:
    """What the store keeps of a token."""
    return hashlib.sha256(f"piv-mcp agent {token}".encode("utf-8", "surrogatepass")).hexdigest()


def add(connection: Connection, agent: Agent, numbers: Collection[str] = ()) -> bool:
    """Store a new agent of the connection's account; returns false, and changes nothing, if its name or its subject is
    taken."""
    taken = connection.count("SELECT count(*) FROM agents WHERE name = ? OR subject = ?", (agent.name, agent.subject))
    if taken:
        return False
    values = [connection.account if name == "account" else getattr(agent, name) for name in _COLUMNS]
    connection.execute(
        f"INSERT INTO agents ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608
        values,
    )
    for number in numbers:
        join_number(connection, agent.name, number)
    return True


def listed(connection: Connection) -> list[Agent]:
    """All agents of all accounts, also those that were revoked, by their names."""
    return [_read(row) for row in connection.rows(f"{_SELECT} ORDER BY name")]


def active(connection: Connection) -> list[Agent]:
    """The agents of the account that have access."""
    rows = connection.rows(f"{_SELECT} WHERE account = ? AND revoked_at IS NULL ORDER BY name", (connection.account,))
    return [_read(row) for row in rows]


def of_token(connection: Connection, token_digest: str) -> Agent | None:
    """The agent with this token, unless it was revoked."""
    rows = connection.rows(f"{_SELECT} WHERE token = ? AND revoked_at IS NULL", (token_digest,))
    return next((_read(row) for row in rows), None)


def of_subject(connection: Connection, subject: str) -> Agent | None:
    """The agent that an identity provider knows by this subject, unless it was revoked."""
    rows = connection.rows(f"{_SELECT} WHERE subject = ? AND revoked_at IS NULL", (subject,))
    return next((_read(row) for row in rows), None)


def revoke(connection: Connection, name: str, now: float) -> bool:
    """End an agent's access for good; returns whether there was one with access."""
    query = "UPDATE agents SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL"
    return connection.execute(query, (now, name)) > 0


def numbers(connection: Connection, name: str) -> frozenset[str]:
    """The ids of the agent's own numbers."""
    return frozenset(
        str(number) for (number,) in connection.rows("SELECT number FROM agent_numbers WHERE agent = ?", (name,))
    )


def join_number(connection: Connection, name: str, piv_num_id: str) -> None:
    """Let the agent see a number: one that it was given, or that it has rented."""
    connection.execute(
        "INSERT INTO agent_numbers (agent, number, account) VALUES (?, ?, ?) ON CONFLICT (agent, number) DO NOTHING",
        (name, piv_num_id, connection.account),
    )
