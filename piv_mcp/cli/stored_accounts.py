"""The accounts whose journals stand in the store: a command that needs no key works on all of them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from piv_mcp.spending.journal import Journal
from piv_mcp.store import Store, accounts
from piv_mcp.text.untrusted import visible


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account whose entries stand in the store. `name` is for the person; `key` is the digest of one of its keys."""

    open: Callable[..., Store]
    """Opens the store, for the account of a `key_digest`."""
    key: str | None = None
    name: str = ""

    @asynccontextmanager
    async def journal(self) -> AsyncGenerator[Journal]:
        store = self.open(key_digest=self.key)
        try:
            yield Journal(store)
        finally:
            await store.close()


async def accounts_of(opened: Callable[..., Store]) -> list[StoredAccount]:
    """All accounts of the store. They have names only if there are several."""
    any_account = StoredAccount(opened)
    async with any_account.journal() as journal:
        keys = await journal.store.read(accounts.keys)
    if len(keys) < 2:
        return [any_account]
    found: list[StoredAccount] = []
    for number, key in enumerate(keys, start=1):
        async with StoredAccount(opened, key).journal() as journal:
            user_id = await journal.store.read(accounts.user_id)
        found.append(StoredAccount(opened, key, visible(user_id) if user_id else f"number {number}, not known by name"))
    return found
