"""The account that a sandbox begins with."""

from sandbox_api import Api, connect, ids

from piv_mcp.sandbox import Sandbox

pytest_plugins = ["sandbox_fixtures"]


async def test_empty_account_without_seed() -> None:
    sandbox = Sandbox(seed=False)
    async with connect(sandbox) as client:
        for path, key in (("/numbers", "numbers"), ("/proxy/orders", "orders"), ("/domains", "domains")):
            assert (await Api(client).data("GET", path))[key] == []
    await sandbox.aclose()


def test_seeded_ids_are_the_same_in_every_sandbox() -> None:
    first, second = ids(Sandbox()), ids(Sandbox())
    assert first == second
    assert [len(part) for part in first["number"].split("-")] == [5, 5, 5, 5]
