"""The console of a server in a real browser with a virtual authenticator: who gets in, and what an approval takes."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from approvals import BUY, BrowserPerson, button, rented, says, serving
from click.testing import CliRunner, Result
from consoles import WIDTHS, screenshot, violations
from engines import store_url
from fleets import Site, piv_day, site
from harness import until
from operators import ConsoleSite, Device, SignedIn, console
from plain_http import http_client, stranger
from playwright.async_api import Page, expect
from processes import free_port
from starlette.routing import Route

from piv_mcp.cli.main import main
from piv_mcp.cli.operator_rows import revoke_operator
from piv_mcp.console.sessions import SESSION_IDLE_SECONDS, Sessions
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.server import identity
from piv_mcp.spending.proof import proof_of
from piv_mcp.store import Connection, journal, sessions
from piv_mcp.store.connection import Value
from piv_mcp.web.guards import GUESSES_A_MINUTE

pytest_plugins = ["fleet_fixtures"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


@pytest.fixture(autouse=True)
def agents_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "ROSTER_SECONDS", 0.01)


@pytest.fixture
async def there(place: Site, person: BrowserPerson) -> AsyncIterator[ConsoleSite]:
    async with console(place, person) as there:
        yield there


@pytest.fixture
async def anna(there: ConsoleSite) -> Device:
    return await there.operator()


@pytest.fixture
async def token(there: ConsoleSite) -> str:
    return await there.site.agent()


async def entry_of(there: ConsoleSite, entry_id: str) -> journal.Entry:
    async with there.store() as store:
        entry = await store.read(journal.get, entry_id)
    assert entry is not None
    return entry


async def change(there: ConsoleSite, entry_id: str, **columns: Value) -> None:
    async with there.store() as store:
        assert await store.write(journal.change, entry_id, columns, only_if=journal.STATES)


async def declined(there: ConsoleSite, visitor: SignedIn, entry_id: str) -> journal.Entry:
    """The entry, once it is declined: the buttons rest for a moment after the page has changed."""

    async def decline() -> journal.Entry | None:
        assert (await visitor.post(f"/approvals/{entry_id}", decision="decline")).status_code == 303
        entry = await entry_of(there, entry_id)
        return entry if entry.state == "declined" else None

    entry = await until(decline, seconds=20, what="the decision", every=0.2)
    assert entry is not None
    return entry


# Getting in


async def test_a_person_enrols_and_approves_a_purchase_which_is_carried_out_once(
    there: ConsoleSite, anna: Device, token: str, account: Sandbox
) -> None:
    entry_id = await there.waiting(token)
    await expect(anna.page.locator(".price")).to_have_text("4.00 USD")
    await button(anna.page, "Approve").click()
    await says(anna.page, "Approved")
    done = await there.replica.call(token, "purchase_number", **BUY)
    assert (done["status"], done["spending_id"]) == ("charged", entry_id)
    assert done["decision"] == "approved by the person, with a passkey"
    assert "anna" not in json.dumps(done), "an agent is told that a person did, and not who"
    assert rented(account) == [Decimal("4.00")]
    await says(anna.page, "4.00 USD was charged")


async def test_an_agent_is_told_where_its_person_decides(there: ConsoleSite, token: str) -> None:
    answer = await there.replica.call(token, "purchase_number", **BUY)
    assert f"{there.url}/approvals" in answer["note"]


async def test_a_link_is_good_once_and_looking_at_it_uses_nothing_up(there: ConsoleSite) -> None:
    link = await there.link()
    async with http_client() as http:  # as programs that show previews
        for method in ("GET", "HEAD", "GET"):
            assert (await http.request(method, link)).status_code == 200
    anna, late = await there.device(), await there.device()
    for device in (anna, late):
        await device.page.goto(link)
    await anna.enrol(link)
    await late.page.get_by_role("button", name="Make a passkey").click()
    await expect(late.page.get_by_role("heading")).to_have_text("This link is not good any more")
    assert await late.credentials() == []
    async with there.store() as store:
        assert await store.read(lambda connection: connection.count("SELECT count(*) FROM passkeys")) == 1
    assert await there.link(again=True) != link


async def test_of_two_who_use_a_link_at_a_time_one_gets_in(there: ConsoleSite) -> None:
    link = await there.link()
    devices = [await there.device(link.removeprefix(there.url)) for _ in range(2)]
    await asyncio.gather(*(device.page.get_by_role("button", name="Make a passkey").click() for device in devices))
    outcomes = [
        device.page.locator(".who bdi")
        .or_(device.page.locator("h1", has_text="not good any more"))
        .or_(device.page.locator("[role=alert]", has_text="tried before"))
        for device in devices
    ]
    for outcome in outcomes:
        await expect(outcome).to_be_visible(timeout=20_000)
    assert sum([await device.page.locator(".who bdi").count() for device in devices]) == 1
    async with there.store() as store:
        assert await store.read(lambda connection: connection.count("SELECT count(*) FROM passkeys")) == 1


async def test_who_has_enrolled_signs_in_again_and_out(there: ConsoleSite, anna: Device) -> None:
    before = await anna.visitor()
    await anna.page.get_by_role("button", name="Sign out").click()
    await anna.page.wait_for_url("**/sign-in")
    assert await anna.page.context.cookies() == []
    assert (await before.get("/approvals", {"Sec-Fetch-Mode": "navigate"})).headers["location"].startswith("/sign-in")
    await anna.page.goto(f"{there.url}/approvals")
    await anna.page.wait_for_url("**/sign-in?to=%2Fapprovals")
    await anna.sign_in()
    assert anna.page.url == f"{there.url}/approvals"
    await expect(anna.page.locator(".who bdi")).to_have_text("anna")
    assert (await anna.cookie())["value"] not in before.cookie


async def test_whom_the_passkey_did_not_verify_makes_none_and_does_not_get_in(there: ConsoleSite, anna: Device) -> None:
    await anna.page.get_by_role("button", name="Sign out").click()
    await anna.page.wait_for_url("**/sign-in**")
    await anna.verify_nobody()
    await anna.page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(anna.page.get_by_role("alert")).to_contain_text("your passkey was not used")
    stranger_there = SignedIn(there.url, there.url, "")
    options = json.loads((await stranger_there.post("/sign-in/options")).text)["options"]
    answer = await anna.sign({**options, "userVerification": "discouraged"})
    refused = await stranger_there.post("/sign-in", answer=answer)
    assert (refused.status_code, "set-cookie" in refused.headers) == (403, False)
    assert "has not checked that it is you" in refused.text
    again = await there.device((await there.link(again=True)).removeprefix(there.url))
    await again.verify_nobody()
    await again.page.get_by_role("button", name="Make a passkey").click()
    await expect(again.page.get_by_role("alert")).to_contain_text("your passkey was not used")
    async with there.store() as store:
        assert await store.read(lambda connection: connection.count("SELECT count(*) FROM passkeys")) == 1


async def test_the_cookie_is_for_this_site_alone_and_no_script_reads_it(there: ConsoleSite, anna: Device) -> None:
    cookie = await anna.cookie()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"], cookie["secure"]) == (True, "Strict", "/", False)
    assert await anna.page.evaluate("document.cookie") == ""
    async with there.store() as store:
        query = "SELECT cookie FROM sessions"
        stored = await store.read(lambda connection: [str(row[0]) for row in connection.rows(query)])
    assert len(stored) == 1
    assert cookie["value"] not in stored


async def test_a_link_on_another_site_leads_to_the_page_without_a_sign_in(there: ConsoleSite, anna: Device) -> None:
    """As in a chat: the browser leaves the strict cookie out of what another site begins."""
    leads = Route("/", serving(f'<a href="{there.url}/approvals">approve</a>'))
    async with stranger(leads) as address:
        await anna.page.goto(address)
        await anna.page.get_by_role("link").click()
        await expect(anna.page.locator(".who bdi")).to_have_text("anna")
        assert anna.page.url == f"{there.url}/approvals"


async def test_a_session_ends_when_nobody_looks_and_an_open_page_is_nobody(there: ConsoleSite, anna: Device) -> None:
    signed_in, navigating = await anna.visitor(), {"Sec-Fetch-Mode": "navigate"}

    async def seen_ago(seconds: float) -> None:
        def move(connection: Connection) -> None:
            connection.execute("UPDATE sessions SET seen_at = seen_at - ?", (seconds,))

        async with there.store() as store:
            await store.write(move)

    await seen_ago(SESSION_IDLE_SECONDS - 60)
    assert (await signed_in.get("/approvals", {"Sec-Fetch-Mode": "cors"})).status_code == 200
    await seen_ago(30)
    assert (await signed_in.get("/approvals", navigating)).status_code == 200
    await seen_ago(SESSION_IDLE_SECONDS - 60)
    assert (await signed_in.get("/approvals", {"Sec-Fetch-Mode": "cors"})).status_code == 200
    await seen_ago(60)
    assert (await signed_in.get("/approvals", {"Sec-Fetch-Mode": "cors"})).status_code == 401
    assert (await signed_in.get("/approvals", navigating)).status_code == 303


# What a request may say


async def test_the_console_answers_at_its_own_address_alone(there: ConsoleSite, anna: Device, token: str) -> None:
    signed_in, entry_id = await anna.visitor(), await there.waiting(token)
    port = there.url.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", "piv.example.com", f"localhost:{int(port) + 1}"):
        assert (await signed_in.get("/approvals", {"Host": host})).status_code == 421
    for origin in ("https://piv.example.com", f"http://127.0.0.1:{port}", "null", f"http://localhost:{int(port) + 1}"):
        for path in ("/sign-out", "/sign-in", "/sign-in/options", f"/approvals/{entry_id}/options"):
            assert (await signed_in.post(path, {"Origin": origin})).status_code == 403
        assert (await signed_in.post(f"/approvals/{entry_id}", {"Origin": origin}, decision="decline")).is_client_error
    without = replace(signed_in, cookie="piv-mcp-console=guessed")
    assert (await without.post(f"/approvals/{entry_id}", decision="decline")).status_code == 303
    assert (await without.post(f"/approvals/{entry_id}/options")).status_code == 303
    assert (await entry_of(there, entry_id)).state == "quoted"
    entry = await declined(there, signed_in, entry_id)
    assert (entry.decided_by, entry.proof) == ("page", '{"operator":"anna"}')


async def test_a_click_alone_approves_nothing_on_a_server(there: ConsoleSite, anna: Device, token: str) -> None:
    signed_in, entry_id = await anna.visitor(), await there.waiting(token)
    assert (await signed_in.post(f"/approvals/{entry_id}", decision="approve")).status_code == 403
    assert await signed_in.approve(entry_id, "", "") == "malformed"
    assert (await entry_of(there, entry_id)).state == "quoted"


async def test_nothing_of_the_console_is_at_the_port_of_agents_and_webhooks(there: ConsoleSite, anna: Device) -> None:
    paths = ("/", "/sign-in", "/approvals", "/live", "/enrol/x", "/sign-out", "/approvals/sp_1/options")
    signed_in = replace(await anna.visitor(), at=there.replica.url)
    for host in (there.url.partition("://")[2], there.replica.url.partition("://")[2]):
        for path in paths:
            assert (await signed_in.get(path, {"Host": host})).status_code in (404, 405)
            assert (await signed_in.post(path, {"Host": host})).status_code in (404, 405)
    at_console = replace(signed_in, at=there.url)
    for path in ("/mcp", "/webhooks/x", "/health", "/ready"):
        assert (await at_console.post(path)).status_code in (404, 405)


async def test_without_its_address_there_is_no_console(place: Site) -> None:
    port = free_port()
    async with place.server(console_port=port), http_client() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"http://127.0.0.1:{port}/sign-in")


async def test_tries_are_bounded_for_each_client(there: ConsoleSite, anna: Device) -> None:
    stranger_there = replace(await anna.visitor(), cookie="")
    statuses = [(await stranger_there.post("/sign-in", answer="{}")).status_code for _ in range(GUESSES_A_MINUTE + 1)]
    assert statuses[-1] == 429
    assert (await stranger_there.get("/enrol/guessed")).status_code == 429
    assert (await anna.page.goto(f"{there.url}/approvals")) is not None
    await expect(anna.page.locator(".who bdi")).to_have_text("anna")


# What an approval takes


async def test_an_answer_of_the_passkey_approves_once(there: ConsoleSite, anna: Device, token: str) -> None:
    signed_in, entry_id = await anna.visitor(), await there.waiting(token)
    nonce, options = await signed_in.options(entry_id)
    answer = await anna.sign(options)
    results = await asyncio.gather(*(signed_in.approve(entry_id, nonce, answer) for _ in range(5)))
    assert sorted(results) == ["", *["approve"] * 4], "the others come too late"
    again = await there.waiting(token, country_code="NL")
    assert await signed_in.approve(again, nonce, answer) == "nonce", "replayed"
    fresh, _ = await signed_in.options(again)
    assert await signed_in.approve(again, fresh, answer) == "challenge", "replayed with a new nonce"
    assert (await entry_of(there, again)).state == "quoted"


async def test_an_answer_for_one_entry_approves_no_other(there: ConsoleSite, anna: Device, token: str) -> None:
    signed_in = await anna.visitor()
    one, other = await there.waiting(token), await there.waiting(token, country_code="NL")
    nonce, options = await signed_in.options(one)
    answer = await anna.sign(options)
    assert await signed_in.approve(other, nonce, answer) == "entry"
    nonce_of_other, _ = await signed_in.options(other)
    assert await signed_in.approve(other, nonce_of_other, answer) == "challenge"
    assert [(await entry_of(there, entry_id)).state for entry_id in (one, other)] == ["quoted", "quoted"]
    assert await signed_in.approve(one, nonce, answer) == "", "it was not used up for another"


async def test_anothers_passkey_session_or_nonce_approves_nothing(there: ConsoleSite, anna: Device, token: str) -> None:
    berta, entry_id = await there.operator("berta"), await there.waiting(token)
    of_anna, of_berta = await anna.visitor(), await berta.visitor()
    nonce, options = await of_anna.options(entry_id)
    foreign = await berta.sign({**options, "allowCredentials": []})
    assert await of_anna.approve(entry_id, nonce, foreign) == "unknown"
    own = await anna.sign(options)
    assert await of_berta.approve(entry_id, nonce, own) == "nonce"
    assert await of_berta.approve(entry_id, nonce, foreign) == "nonce"
    nonce, _ = await of_berta.options(entry_id)
    assert await of_berta.approve(entry_id, nonce, own) == "unknown"
    assert (await entry_of(there, entry_id)).state == "quoted"


async def test_who_was_not_verified_approves_nothing(there: ConsoleSite, anna: Device, token: str) -> None:
    signed_in, entry_id = await anna.visitor(), await there.waiting(token)
    await anna.verify_nobody()
    nonce, options = await signed_in.options(entry_id)
    assert options["userVerification"] == "required"
    answer = await anna.sign({**options, "userVerification": "discouraged"})
    assert await signed_in.approve(entry_id, nonce, answer) == "unverified"
    await anna.page.reload()
    await button(anna.page, "Approve").click()
    await expect(anna.page.get_by_role("alert")).to_contain_text("your passkey was not used")
    assert (await entry_of(there, entry_id)).state == "quoted"


async def test_an_answer_to_another_site_approves_nothing(there: ConsoleSite, anna: Device, token: str) -> None:
    """A page at another port of the same host can ask the same passkey."""
    signed_in, entry_id = await anna.visitor(), await there.waiting(token)
    nonce, options = await signed_in.options(entry_id)
    async with stranger(Route("/", serving("<p>not piv-mcp"))) as address:
        await anna.page.goto(address.replace("127.0.0.1", "localhost"))
        answer = await anna.sign(options)
    assert await signed_in.approve(entry_id, nonce, answer) == "origin"
    assert (await entry_of(there, entry_id)).state == "quoted"


async def test_a_copied_passkey_is_refused_once_its_counter_is_behind(
    there: ConsoleSite, anna: Device, token: str
) -> None:
    (copy,) = await anna.credentials()
    signed_in, first = await anna.visitor(), await there.waiting(token)
    await anna.sign((await signed_in.options(first))[1])
    await approved(there, anna, first)
    await anna.put_back(copy)
    second = await there.waiting(token, country_code="NL")
    nonce, options = await signed_in.options(second)
    assert await signed_in.approve(second, nonce, await anna.sign(options)) == "cloned"
    await anna.page.goto(f"{there.url}/approvals?entry={second}&click=cloned")
    await expect(anna.page.locator(".click")).to_contain_text("there may be a copy of it")
    assert (await entry_of(there, second)).state == "quoted"


@pytest.mark.parametrize(
    ("column", "value"),
    [("price", "0.01"), ("arguments", '{"country_code":"NL","duration_months":1,"auto_renew":false}'), ("agent", "x")],
)
async def test_what_has_changed_since_it_was_signed_is_not_approved(
    there: ConsoleSite, anna: Device, token: str, column: str, value: str
) -> None:
    signed_in, entry_id = await anna.visitor(), await there.waiting(token)
    nonce, options = await signed_in.options(entry_id)
    answer = await anna.sign(options)
    await change(there, entry_id, **{column: value})
    assert await signed_in.approve(entry_id, nonce, answer) == "challenge"
    assert (await entry_of(there, entry_id)).state == "quoted"


async def test_what_has_expired_is_not_approved(there: ConsoleSite, anna: Device, token: str) -> None:
    signed_in = await anna.visitor()
    one, other = await there.waiting(token), await there.waiting(token, country_code="NL")
    nonce, options = await signed_in.options(one)
    answer = await anna.sign(options)
    await change(there, one, expires_at=1.0)
    assert await signed_in.approve(one, nonce, answer) == "approve", "it came too late"
    assert (await entry_of(there, one)).state == "expired"
    assert (await signed_in.post(f"/approvals/{one}/options")).status_code == 409

    def end_nonces(connection: Connection) -> None:
        connection.execute("UPDATE ceremonies SET ends_at = 1")

    nonce, options = await signed_in.options(other)
    async with there.store() as store:
        await store.write(end_nonces)
    assert await signed_in.approve(other, nonce, await anna.sign(options)) == "nonce"
    assert (await entry_of(there, other)).state == "quoted"


async def test_a_revoked_operator_sees_and_approves_nothing_more(there: ConsoleSite, anna: Device, token: str) -> None:
    signed_in, entry_id = await anna.visitor(), await there.waiting(token)
    link = await there.link(again=True)
    nonce, options = await signed_in.options(entry_id)
    answer = await anna.sign(options)
    assert await revoke_operator(there.replica.settings, "anna")
    assert (
        (await signed_in.post(f"/approvals/{entry_id}/passkey", nonce=nonce, answer=answer))
        .headers["location"]
        .startswith("/sign-in")
    ), "the session has ended"
    await anna.page.wait_for_url("**/sign-in**")
    await anna.page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(anna.page.get_by_role("alert")).to_contain_text("Your access to this server was ended")
    assert (await http_status(link)) == 404
    assert (await entry_of(there, entry_id)).state == "quoted"


async def test_a_form_that_was_on_its_way_when_its_person_left_decides_nothing(
    there: ConsoleSite, anna: Device, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piv_mcp.console.approvals.READ_SECONDS", 0.0)
    entry_id, signed_in = await there.waiting(token), await anna.visitor()
    nonce, options = await signed_in.options(entry_id)
    answer = await anna.sign(options)
    async with signed_in.slowly(f"/approvals/{entry_id}/passkey", nonce=nonce, answer=answer):
        assert (await signed_in.post("/sign-out")).status_code == 303
    assert (await entry_of(there, entry_id)).state == "quoted"
    signed_in = await (await there.operator("berta")).visitor()
    async with signed_in.slowly(f"/approvals/{entry_id}", decision="decline"):
        assert await revoke_operator(there.replica.settings, "berta")
    assert (await entry_of(there, entry_id)).state == "quoted"


async def test_an_approval_that_was_under_way_is_refused_when_its_operator_was_revoked(
    there: ConsoleSite, anna: Device, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request had passed the sign-in already."""
    signed_in, entry_id = await anna.visitor(), await there.waiting(token)
    nonce, options = await signed_in.options(entry_id)
    answer = await anna.sign(options)
    async with there.store() as store:
        session = await store.read(sessions.of_cookie, *(await session_of(there)), idle_seconds=SESSION_IDLE_SECONDS)
    assert await revoke_operator(there.replica.settings, "anna")

    async def still_signed_in(*_: object) -> sessions.ConsoleSession | None:
        return session

    monkeypatch.setattr(Sessions, "of", still_signed_in)
    assert await signed_in.approve(entry_id, nonce, answer) == "revoked"
    assert (await signed_in.post(f"/approvals/{entry_id}/options")).status_code == 401
    assert (await entry_of(there, entry_id)).state == "quoted"


async def session_of(there: ConsoleSite) -> tuple[str, float]:
    """(the digest of the only cookie, a time at which it is good)."""
    query = "SELECT cookie, seen_at FROM sessions"
    async with there.store() as store:
        ((cookie, seen_at),) = await store.read(lambda connection: list(connection.rows(query)))
    return str(cookie), float(seen_at) + 1


async def http_status(url: str) -> int:
    async with http_client() as http:
        return (await http.get(url)).status_code


# Several servers


async def test_any_server_of_a_store_answers_any_request(place: Site, person: BrowserPerson) -> None:
    async with console(place, person) as there:
        port = free_port()
        async with place.process(console_url=there.url, console_port=port, confirm_wait=0):
            anna, token = await there.operator(), await place.agent()
            here = await anna.visitor()
            elsewhere = here.beside(port)
            entry_id = await there.waiting(token)
            assert entry_id in (await elsewhere.get("/approvals")).text
            nonce, options = await here.options(entry_id)
            assert await elsewhere.approve(entry_id, nonce, await anna.sign(options)) == ""
            assert (await entry_of(there, entry_id)).decided_by == "passkey"
            second = await there.waiting(token, country_code="NL")
            await declined(there, elsewhere, second)
            assert await revoke_operator(there.replica.settings, "anna")
            for visitor in (here, elsewhere):
                assert (await visitor.get("/approvals", {"Sec-Fetch-Mode": "cors"})).status_code == 401


async def test_an_operator_sees_and_decides_what_is_of_their_account_alone(
    data_dir: Path, tmp_path: Path, person: BrowserPerson
) -> None:
    folder, sandboxes = tmp_path / "accounts", list[Sandbox]()
    folder.mkdir()
    for name in ("alpha", "beta"):
        (folder / name).write_text(f"sk-key-of-account-{name}")
        sandboxes.append(Sandbox(f"sk-key-of-account-{name}", rate_limit=0, timing=Timing.instant(), seed=False))
        sandboxes[-1].state.user_id = f"user of {name}"
    async with piv_day(*sandboxes) as base_url:
        place = site(data_dir, base_url, api_key=None, accounts_dir=folder)
        async with console(place, person) as there:
            anna, berta = await there.operator("anna", "alpha"), await there.operator("berta", "beta")
            of_anna, of_berta = await anna.visitor(), await berta.visitor()
            entry_id = await there.waiting(await place.agent(account="alpha"))
            await expect(anna.page.locator("article")).to_contain_text(entry_id)
            assert entry_id not in (await of_berta.get("/approvals")).text
            assert (await of_berta.post(f"/approvals/{entry_id}/options")).status_code == 409
            nonce, options = await of_anna.options(entry_id)
            answer = await berta.sign({**options, "allowCredentials": []})
            assert await of_berta.approve(entry_id, nonce, answer) == "approve", "there is none to decide"
            await of_berta.post(f"/approvals/{entry_id}", decision="decline")
            nonce, options = await of_anna.options(entry_id)
            assert await of_anna.approve(entry_id, nonce, await anna.sign(options)) == ""
    for sandbox in sandboxes:
        await sandbox.aclose()


# What the journal can show later


def show(there: ConsoleSite, entry_id: str) -> Result:
    environment = {"PIV_DATA_DIR": str(there.site.data_dir), "PIV_API_KEY": there.site.given["api_key"]}
    if (url := store_url(there.site.data_dir / "store.sqlite3")) is not None:
        environment["PIV_STORE_URL"] = url.get_secret_value()
    return CliRunner().invoke(main, ["spending", "show", entry_id], env=environment)


async def approved(there: ConsoleSite, device: Device, entry_id: str) -> None:
    signed_in = await device.visitor()
    nonce, options = await signed_in.options(entry_id)
    assert await signed_in.approve(entry_id, nonce, await device.sign(options)) == ""


async def test_who_approved_what_can_be_checked_later(there: ConsoleSite, anna: Device, token: str) -> None:
    entry_id = await there.waiting(token)
    await approved(there, anna, entry_id)
    shown = await asyncio.to_thread(show, there, entry_id)
    assert shown.exit_code == 0, shown.output
    for words in ("approved by the person, with a passkey", "operator anna", "verifies", there.url, "4.00 USD"):
        assert words in shown.output
    assert await revoke_operator(there.replica.settings, "anna")
    shown = await asyncio.to_thread(show, there, entry_id)
    assert (shown.exit_code, "verifies" in shown.output, "revoked" in shown.output) == (0, True, True)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("price", "0.01", "was changed since"),
        ("arguments", '{"country_code":"NL","duration_months":1,"auto_renew":false}', "was changed since"),
        ("expires_at", 1.0, "was changed since"),
        ("kind", "renew_number", "was changed since"),
        ("proof", None, "there is none"),
        ("proof", "{}", "cannot be read"),
        ("proof", '{"operator":"anna"}', "assertion is missing"),
        ("state", "declined", "tells of another decision"),
        ("decided_by", "terminal", "tells of another decision"),
        ("decided_at", None, "was decided at no time"),
        ("decided_at", 9e9, "had expired"),
    ],
)
async def test_an_entry_that_was_changed_after_its_approval_does_not_verify(
    there: ConsoleSite, anna: Device, token: str, column: str, value: Value, words: str
) -> None:
    entry_id = await there.waiting(token)
    await approved(there, anna, entry_id)
    await change(there, entry_id, **{column: value})
    shown = await asyncio.to_thread(show, there, entry_id)
    assert shown.exit_code == 1
    assert "DOES NOT VERIFY" in shown.output
    assert words in shown.output


async def test_an_approval_at_no_address_or_of_another_account_does_not_verify(
    there: ConsoleSite, anna: Device, token: str
) -> None:
    entry_id = await there.waiting(token)
    await approved(there, anna, entry_id)
    proof = proof_of(await entry_of(there, entry_id))
    assert proof is not None
    await change(there, entry_id, proof=proof.model_copy(update={"origin": "https://[no"}).model_dump_json())
    shown = await asyncio.to_thread(show, there, entry_id)
    assert (shown.exit_code, "DOES NOT VERIFY: it was given to another address" in shown.output) == (1, True)
    await change(there, entry_id, proof=proof.model_dump_json())
    assert (await asyncio.to_thread(show, there, entry_id)).exit_code == 0
    async with there.store() as store:
        await store.write(lambda connection: connection.execute("UPDATE passkeys SET account = account + 1"))
    shown = await asyncio.to_thread(show, there, entry_id)
    assert (shown.exit_code, "the passkey is that of another account" in shown.output) == (1, True)


async def test_an_approval_by_an_operator_without_a_passkey_does_not_verify(
    there: ConsoleSite, anna: Device, token: str
) -> None:
    """On the console of a server a click declines, and approves nothing."""
    entry_id = await there.waiting(token)
    await declined(there, await anna.visitor(), entry_id)
    await change(there, entry_id, state="charged", problem=None)
    shown = await asyncio.to_thread(show, there, entry_id)
    assert shown.exit_code == 1
    assert "DOES NOT VERIFY: the passkey's assertion is missing" in shown.output


async def test_a_proof_that_was_put_on_another_entry_does_not_verify(
    there: ConsoleSite, anna: Device, token: str
) -> None:
    berta = await there.operator("berta")
    one, other = await there.waiting(token), await there.waiting(token, country_code="NL")
    await approved(there, anna, one)
    await approved(there, berta, other)
    proof = proof_of(await entry_of(there, one))
    assert proof is not None
    await change(there, other, proof=proof.model_dump_json())
    assert "was changed since" in (await asyncio.to_thread(show, there, other)).output
    await change(there, one, proof=proof.model_copy(update={"operator": "berta"}).model_dump_json())
    assert "the passkey is that of operator anna" in (await asyncio.to_thread(show, there, one)).output


async def test_what_was_decided_otherwise_is_told_without_a_proof(there: ConsoleSite, anna: Device, token: str) -> None:
    entry_id = await there.waiting(token)
    assert "quoted" in (await asyncio.to_thread(show, there, entry_id)).output
    await declined(there, await anna.visitor(), entry_id)
    shown = await asyncio.to_thread(show, there, entry_id)
    assert shown.exit_code == 0
    assert "declined by the person" in shown.output
    assert "operator anna" in shown.output
    assert "Proof" not in shown.output
    assert (await asyncio.to_thread(show, there, "sp_none")).exit_code == 1


# For everybody


@pytest.mark.axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_of_a_server_have_no_violation(there: ConsoleSite, token: str, scheme: str) -> None:
    found: dict[str, list[str]] = {}
    for width, how in WIDTHS.items():
        name = f"{width}-{scheme}"
        link = await there.link(width)
        device = await there.device("/sign-in", color_scheme=scheme, **how)
        page = device.page

        async def look(at: str, page: Page = page, name: str = name) -> None:
            found[f"{at} {name}"] = await violations(page)
            await screenshot(page, f"hosted-{at}-{name}")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), at

        await look("sign-in")
        await page.goto(link)
        await look("link")
        await device.enrol(link)
        await there.waiting(token, duration_months=1 + len(found))
        await expect(button(page, "Approve").first).to_be_enabled()
        await look("approvals")
        await device.verify_nobody()
        await button(page, "Approve").first.click()
        await expect(page.get_by_role("alert").first).to_be_visible()
        await look("refused")
        await page.goto(link)
        await look("used")
    assert {name: rules for name, rules in found.items() if rules} == {}
