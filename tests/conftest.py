"""The fixtures that the tests share: a clean environment, a sandbox, and a client connected to the server over it."""

import asyncio
import json
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import engines
import hypothesis
import pytest
import stamina
import structlog
from harness import ERAS, Connect, Connected, Era, Person, approver, connected
from inbox_home import Home, open_another, open_home
from jsonschema import Draft202012Validator
from moving_clock import MovingClock

from piv_mcp.api.retry import ATTEMPTS
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.spending.reconcile.reconciler import Reconciler
from piv_mcp.store import Connection, Store, leases, migrations
from piv_mcp.store.sqlite import SqliteConnection
from piv_mcp.text.times import Clock

if TYPE_CHECKING:
    from approvals import BrowserPerson, Pending
    from playwright.async_api import Browser
    from postgres import Cluster

# A slow machine makes no example wrong; for what takes too long there is pytest's time-out.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting or key of the person who runs the tests reaches them, and no page opens in their browser."""
    monkeypatch.setenv("BROWSER", "true %s")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))
    for name in list(os.environ):
        if name.startswith("PIV_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """What a test sets up for its logs, as every command does, ends with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine", choices=("sqlite", "postgresql"), default="sqlite", help="what keeps the tests' stores"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With PostgreSQL, leave out the tests that are about the files of SQLite."""
    if config.getoption("--engine") == "postgresql":
        left = [item for item in items if item.get_closest_marker("sqlite") is not None]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item.get_closest_marker("sqlite") is None]


@pytest.fixture(scope="session")
def cluster() -> Iterator["Cluster"]:
    """A PostgreSQL server of the tests' own, without fsync. Where there is no PostgreSQL, the tests fail."""
    from postgres import Cluster

    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session", autouse=True)
def engine(request: pytest.FixtureRequest) -> None:
    """The engine of the option `--engine`."""
    if request.config.getoption("--engine") == "postgresql":
        engines.CLUSTER.append(request.getfixturevalue("cluster"))


@pytest.fixture(autouse=True)
def databases() -> Iterator[None]:
    """Each test has databases of its own."""
    yield
    for cluster in engines.CLUSTER:
        cluster.forget_databases()


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Connection]:
    """The tables of a store, in a transaction that writes: with SQLite, without a file."""
    if engines.CLUSTER:
        import psycopg

        from piv_mcp.store.postgres.connection import PostgresConnection

        with psycopg.connect(engines.CLUSTER[0].database_for(tmp_path)) as raw:
            yield PostgresConnection(raw, process=leases.this_process(), locked=set(), alone=True)
            raw.rollback()
        return
    connection = SqliteConnection(sqlite3.connect(":memory:", isolation_level=None))
    migrations.migrate(connection)
    yield connection
    connection.raw.close()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificates of this machine: for tests of the variables about them."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("SSL_CERT_", "SSLKEYLOG")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def schemas_checked_once() -> Iterator[None]:
    """A client checks the output schema of each tool that it calls; new clients with equal schemas check no more."""
    check = Draft202012Validator.check_schema
    valid: set[str] = set()

    def check_once(schema: dict[str, Any]) -> None:
        text = json.dumps(schema)
        if text not in valid:
            check(schema)
            valid.add(text)

    with pytest.MonkeyPatch.context() as session:
        session.setattr(Draft202012Validator, "check_schema", check_once)
        yield


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def instant_retries() -> Iterator[None]:
    """As many tries as ever, without the waits between them."""
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A seeded piv.day without a rate limit, whose background work is over at once."""
    sandbox = Sandbox(rate_limit=0, timing=Timing.instant())
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
def connect(sandbox: Sandbox, data_dir: Path) -> Connect:
    """For tests with settings, a clock or a person of their own; the others take `app`."""
    own = sandbox

    def connect(
        *,
        person: Person | None = None,
        era: Era = "auto",
        sandbox: Sandbox | None = None,
        clock: Clock | None = None,
        webhooks: bool = False,
        **settings: Any,
    ) -> AbstractAsyncContextManager[Connected]:
        return connected(sandbox or own, data_dir, person, era, clock, webhooks=webhooks, **settings)

    return connect


@pytest.fixture(params=ERAS)
async def app(request: pytest.FixtureRequest, connect: Connect) -> AsyncIterator[Connected]:
    """The whole server over the sandbox, and a client of either protocol era."""
    async with connect(era=request.param) as connected:
        yield connected


@pytest.fixture
async def modern_app(connect: Connect) -> AsyncIterator[Connected]:
    """Likewise with a client of today alone, where the era makes no difference."""
    async with connect() as connected:
        yield connected


@pytest.fixture(params=ERAS)
async def hooked_app(request: pytest.FixtureRequest, connect: Connect) -> AsyncIterator[Connected]:
    """`app`, with the account's webhooks."""
    async with connect(era=request.param, webhooks=True) as connected:
        yield connected


@pytest.fixture
async def modern_hooked_app(connect: Connect) -> AsyncIterator[Connected]:
    """`modern_app`, with the account's webhooks."""
    async with connect(webhooks=True) as connected:
        yield connected


# for tests of the store and the inbox without a server


@pytest.fixture
def store_path(data_dir: Path) -> Path:
    """Of a store that does not exist yet."""
    return data_dir / "store.sqlite3"


@pytest.fixture
async def store(store_path: Path) -> AsyncIterator[Store]:
    store = engines.open_at(store_path)
    yield store
    await store.close()


@pytest.fixture
async def home(data_dir: Path) -> AsyncIterator[Home]:
    """An inbox, its history and a sandbox with numbers."""
    async with open_home(data_dir) as home:
        yield home


@pytest.fixture
async def homes(home: Home) -> AsyncIterator[list[Home]]:
    """Two on one store file, one account and one clock, as two server processes are."""
    async with open_another(home) as another:
        yield [home, another]


# for tests that spend


@pytest.fixture
async def shop(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connected]:
    """A server that reconciles nothing by itself, with a clock that moves and a person who approves."""

    async def never(self: Reconciler) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Reconciler, "run", never)
    async with connect(person=approver(), clock=MovingClock()) as connected:
        yield connected


@pytest.fixture
def silent_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A browser that shows nothing; the file has a line for each page that it was to open."""
    opened = tmp_path / "opened-pages"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(script))
    return opened


# for tests of the approval page; playwright is imported only there


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator["Browser"]:
    """One browser for all tests of a process: starting it takes seconds. Where there is none, the tests fail."""
    from approvals import launched

    async with launched() as browser:
        yield browser


@pytest.fixture
async def person(
    chromium: "Browser", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator["BrowserPerson"]:
    """Somebody at this machine. Their pages must report no error."""
    from approvals import BrowserPerson

    person = BrowserPerson(chromium, tmp_path / "person")
    monkeypatch.setenv("BROWSER", person.command)
    yield person
    for context in person.contexts:
        await context.close()
    assert person.problems == []


@pytest.fixture
async def pending(connect: Connect, silent_browser: Path) -> AsyncIterator["Pending"]:
    """A purchase that waits for approval on the page, and that the person has read."""
    from approvals import first_pending

    async with connect(confirm_wait=0) as app:
        yield await first_pending(app, silent_browser)
