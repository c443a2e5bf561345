"""`piv-mcp doctor` for a server over HTTP: each account, where its webhooks go, its agents, and whether it is ready."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fleets import Site, piv_day, site
from processes import free_port

from piv_mcp.cli.doctor import examine
from piv_mcp.cli.findings import Finding
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.spending import freezing
from piv_mcp.store import accounts
from piv_mcp.store.engines import open_store

KEY = "sk-key-of-account-a-01"


@pytest.fixture
async def place(data_dir: Path, tmp_path: Path) -> AsyncIterator[Site]:
    account = Sandbox(KEY, seed=False, rate_limit=0, timing=Timing.instant())
    folder = tmp_path / "accounts"
    folder.mkdir()
    (folder / "alpha").write_text(KEY)
    (folder / "alpha").chmod(0o444)
    async with piv_day(account) as base_url:
        yield site(
            data_dir,
            base_url,
            api_key=None,
            accounts_dir=folder,
            public_url="https://mcp.example.com",
            http_port=free_port(),
        )
    await account.aclose()


async def findings(place: Site) -> dict[str, Finding]:
    return {finding.what: finding for finding in await examine(place.settings())}


async def test_what_is_missing_is_said_with_what_to_do(place: Site) -> None:
    found = await findings(place)
    assert found["account alpha"].ok
    assert found["webhooks of alpha"].ok
    assert "https://mcp.example.com/webhooks/" in (found["webhooks of alpha"].do or "")
    assert (found["agents"].ok, found["agents"].do) == (False, "piv-mcp agents add NAME")
    assert "nobody serves" in found["server"].state
    assert [what for what, finding in found.items() if not finding.ok] == ["agents"]


async def test_a_server_that_runs_is_asked(place: Site) -> None:
    await place.agent()
    async with place.server() as server:
        found = await findings(place)
    assert all(finding.ok for finding in found.values()), found
    assert found["server"].state == f"{server.url} is ready"
    assert (await findings(place))["webhooks of alpha"].do == found["webhooks of alpha"].do


async def test_a_bad_file_is_named(place: Site) -> None:
    folder = place.given["accounts_dir"]
    (folder / "beta").write_text("two\nlines")
    (folder / "gamma").write_text("sk-key-that-is-not-known-0")
    found = await findings(place)
    assert "several lines" in found["account beta"].state
    assert KEY not in str(found)


async def test_each_account_that_is_frozen_is_named(place: Site) -> None:
    for key, user_id in ((KEY, "user-a"), ("sk-key-of-account-b-02", "user-b")):
        store = open_store(place.settings(), place.data_dir, key_digest=accounts.digest(key))
        await store.write(accounts.identify, user_id)
        if key != KEY:
            await freezing.freeze(store, "console", by="ann", of_all=False)
        await store.close()
    found = await findings(place)
    assert found["spending of user-b"].state.endswith("by ann in the console")
    assert [what for what in found if what.startswith("spending")] == ["spending of user-b"]


async def test_the_outside_address_is_tried_for_each_account(place: Site) -> None:
    await place.agent()
    async with place.server() as server:
        found = {finding.what: finding for finding in await examine(place.settings(), server.url)}
    (tried,) = [finding for what, finding in found.items() if what.endswith("outside address of alpha")]
    assert tried.ok, tried
