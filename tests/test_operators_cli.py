"""`piv-mcp operators`: a link that is shown once, who is there, and the end of their access."""

import asyncio
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from engines import open_at

from piv_mcp.cli.main import main
from piv_mcp.store import Connection, Store, backup, ceremonies, operators, sessions
from piv_mcp.store.ceremonies import Ceremony
from piv_mcp.store.operators import Operator, Passkey
from piv_mcp.store.sessions import ConsoleSession

URL = "https://piv.example.com"
NOW = 1_780_000_000.0


@pytest.fixture
def place(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIV_DATA_DIR", str(data_dir))
    monkeypatch.setenv("PIV_API_KEY", "sk-key-of-the-tests-0123456789")
    monkeypatch.setenv("PIV_CONSOLE_URL", URL)
    return data_dir


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["operators", *arguments])


@pytest.mark.sqlite
def test_the_link_is_the_only_line_and_the_store_has_its_digest_alone(place: Path) -> None:
    done = run("add", "anna")
    assert done.exit_code == 0, done.output
    link = done.stdout.removesuffix("\n")
    assert re.fullmatch(rf"{URL}/enrol/[A-Za-z0-9_-]{{43}}", link)
    assert "anna" in done.stderr
    stored = b"".join(file.read_bytes() for file in place.glob("store.sqlite3*"))
    assert b"anna" in stored
    assert link.rpartition("/")[2].encode() not in stored
    assert "anna: account 1; no passkey yet; added" in run("list").stdout


def test_a_name_is_a_persons_for_good_and_a_further_link_is_asked_for_by_an_option(place: Path) -> None:
    assert run("add", "anna", "--again").exit_code != 0
    first = run("add", "anna").stdout
    assert "--again" in run("add", "anna").output
    again = run("add", "anna", "--again")
    assert (again.exit_code, again.stdout == first) == (0, False)
    assert run("add", "anna", "--again", "--account", "a").exit_code == 2
    assert run("revoke", "anna").exit_code == 0
    assert "REVOKED" in run("list").stdout
    for arguments in (("revoke", "anna"), ("add", "anna"), ("add", "anna", "--again"), ("revoke", "nobody")):
        assert run(*arguments).exit_code != 0


@pytest.mark.parametrize(
    ("environment", "arguments", "words"),
    [
        ({"PIV_CONSOLE_URL": None}, ("anna",), "PIV_CONSOLE_URL is not set"),
        ({"PIV_CONSOLE_URL": "https://192.0.2.1"}, ("anna",), "an IP address is none"),
        ({"PIV_CONSOLE_URL": "http://piv.example.com"}, ("anna",), "must be https"),
        ({"PIV_CONSOLE_URL": "https://0x7f.1"}, ("anna",), "an IP address is none"),
        ({"PIV_CONSOLE_URL": "https://piv.example.com."}, ("anna",), "must have a host name"),
        ({"PIV_CONSOLE_URL": "https://piv.example.com,piv.example.org"}, ("anna",), "must have a host name"),
        ({"PIV_CONSOLE_URL": "https://%70iv.example.com"}, ("anna",), "must have a host name"),
        ({"PIV_API_KEY": None}, ("anna",), "there is no account"),
        ({}, ("a b",), "the name must be"),
        ({}, ("anna", "--account", "alpha"), "PIV_ACCOUNTS_DIR"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_kept(
    place: Path,
    environment: dict[str, str | None],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    done = CliRunner().invoke(main, ["operators", "add", *arguments], env=environment)
    assert done.exit_code != 0
    assert words in done.output
    assert "/enrol/" not in done.output
    assert run("list").stdout == ""


def test_of_several_accounts_one_is_named(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "accounts"
    folder.mkdir()
    monkeypatch.delenv("PIV_API_KEY")
    monkeypatch.setenv("PIV_ACCOUNTS_DIR", str(folder))
    for name in ("alpha", "beta"):
        (folder / name).write_text(f"sk-key-of-{name}-0123")
    assert "there are: alpha, beta" in run("add", "anna").output
    assert run("add", "anna", "--account", "alpha").exit_code == 0
    assert run("add", "berta", "--account", "beta").exit_code == 0
    assert re.findall(r"(\w+): account (\d)", run("list").stdout) == [("anna", "1"), ("berta", "2")]


# What the store keeps


@pytest.fixture
async def anna(store: Store) -> Operator:
    operator = Operator("anna", 1, "handle", NOW)
    assert await store.write(operators.add, operator)
    return operator


async def test_of_all_who_use_a_nonce_at_a_time_one_gets_it(store: Store, store_path: Path, anna: Operator) -> None:
    other = open_at(store_path)
    await store.write(ceremonies.begin, Ceremony("n", "approval", NOW + 60, "anna", "s", "sp_1"), NOW)
    assert await store.write(ceremonies.use, "n", "registration", NOW) is None
    used = await asyncio.gather(*(at.write(ceremonies.use, "n", "approval", NOW) for at in (store, other) * 5))
    assert [ceremony.entry for ceremony in used if ceremony is not None] == ["sp_1"]
    await other.close()


async def test_a_ceremony_ends_with_its_time(store: Store) -> None:
    await store.write(ceremonies.begin, Ceremony("n", "sign-in", NOW + 60), NOW)
    assert await store.read(ceremonies.open_, "n", "sign-in", NOW + 59) is not None
    assert await store.read(ceremonies.open_, "n", "sign-in", NOW + 60) is None
    assert await store.write(ceremonies.use, "n", "sign-in", NOW + 60) is None


async def test_whoever_begins_sign_ins_without_end_fills_no_store_and_ends_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ceremonies, "MOST_SIGN_INS", 3)
    await store.write(ceremonies.begin, Ceremony("approval", "approval", NOW + 10, "anna"), NOW)
    for n in range(6):
        await store.write(ceremonies.begin, Ceremony(str(n), "sign-in", NOW + 60 + n), NOW)
    there = [n for n in range(6) if await store.read(ceremonies.open_, str(n), "sign-in", NOW) is not None]
    assert there == [3, 4, 5]
    assert await store.read(ceremonies.open_, "approval", "approval", NOW) is not None


async def test_revoking_ends_all_that_an_operator_has_and_nothing_of_others(store: Store, anna: Operator) -> None:
    await store.write(operators.add, Operator("berta", 1, "another handle", NOW))
    for name in ("anna", "berta"):
        await store.write(operators.add_passkey, Passkey(f"key of {name}", name, 1, "public", 0, NOW))
        await store.write(ceremonies.begin, Ceremony(f"nonce of {name}", "approval", NOW + 60, name), NOW)
        await store.write(sessions.begin, ConsoleSession(f"cookie of {name}", name, NOW, NOW, NOW + 60))
    assert await store.write(operators.revoke, "anna", NOW + 1)
    for name, remains in (("anna", False), ("berta", True)):
        session = await store.read(sessions.of_cookie, f"cookie of {name}", NOW + 2, idle_seconds=60)
        passkey = await store.read(operators.passkey_of, f"key of {name}")
        assert passkey is not None
        assert (await store.read(operators.active, name) is not None) is remains
        assert (session is not None) is remains
        assert (passkey.revoked_at is None) is remains
        assert (await store.write(operators.note_use, passkey, 1, NOW + 2)) is remains
        assert (await store.write(ceremonies.use, f"nonce of {name}", "approval", NOW + 2) is not None) is remains
    # A session that began while the operator was being revoked is none.
    await store.write(sessions.begin, ConsoleSession("late", "anna", NOW, NOW, NOW + 60))
    assert await store.read(sessions.of_cookie, "late", NOW + 2, idle_seconds=60) is None


async def test_a_session_ends_by_its_time_and_when_nobody_looks(store: Store, anna: Operator) -> None:
    await store.write(sessions.begin, ConsoleSession("c", "anna", NOW, NOW, NOW + 100))

    async def lasts(at: float) -> bool:
        return await store.read(sessions.of_cookie, "c", NOW + at, idle_seconds=30) is not None

    assert (await lasts(29), await lasts(30)) == (True, False)
    await store.write(sessions.note_seen, "c", NOW + 80)
    assert (await lasts(99), await lasts(100)) == (True, False)
    session = await store.read(sessions.of_cookie, "c", NOW + 99, idle_seconds=30)
    assert session is not None
    assert (session.operator, session.account) == ("anna", 1)


@pytest.mark.sqlite
async def test_a_backup_holds_operators_and_nobody_who_is_signed_in(
    store: Store, store_path: Path, tmp_path: Path, anna: Operator
) -> None:
    await store.write(operators.add_passkey, Passkey("key", "anna", 1, "public", 0, NOW))
    await store.write(sessions.begin, ConsoleSession("cookie", "anna", NOW, NOW, NOW + 60))
    await store.write(ceremonies.begin, Ceremony("nonce", "enrolment", NOW + 60, "anna"), NOW)
    backup.copy_to(store_path, tmp_path / "copy.sqlite3")
    copy = open_at(tmp_path / "copy.sqlite3")

    def counts(connection: Connection) -> list[int]:
        tables = ("operators", "passkeys", "sessions", "ceremonies")
        return [connection.count(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608 - our own names

    assert await copy.read(counts) == [1, 1, 0, 0]
    await copy.close()


async def test_two_uses_of_a_passkey_at_a_time_are_one(store: Store, anna: Operator) -> None:
    passkey = Passkey("key", "anna", 1, "public", 4, NOW)
    assert await store.write(operators.add_passkey, passkey)
    assert not await store.write(operators.add_passkey, passkey)
    noted = await asyncio.gather(*(store.write(operators.note_use, passkey, 5, NOW) for _ in range(3)))
    assert sorted(noted) == [False, False, True]
