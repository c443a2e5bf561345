"""Who may open the approval page and decide on it: users, invitations, cookies, hosts, origins, forms."""

import asyncio
import json
import os
import re
import socket
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from approvals import (
    BUY,
    BrowserPerson,
    Pending,
    Visitor,
    answer_of,
    asking,
    first_pending,
    invited,
    origin_of,
    read_by,
    rented,
    serving,
    visitor,
)
from harness import Connect
from moving_clock import MovingClock
from plain_http import http_client, stranger
from playwright.async_api import expect
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import READ_SECONDS
from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.store import SqliteStore
from piv_mcp.web import peers
from piv_mcp.web.guards import GUESSES_A_MINUTE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


async def test_the_page_s_own_form_approves(pending: Pending) -> None:
    answer = await pending.post({"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{pending.visitor.path}#{pending.id}")
    assert (await pending.app.ok("purchase_number", **BUY))["status"] == "charged"


ELSEWHERE: list[dict[str, str | None]] = [
    {"Origin": None},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "https://{host}"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": "http://{host}.evil.example"},
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    {"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:1"},
    {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"},
    {"Host": "127.0.0.1.evil.example:{port}", "Origin": "http://127.0.0.1.evil.example:{port}"},
    {"Host": "localhost.:{port}", "Origin": "http://localhost.:{port}"},
    {"Host": "0.0.0.0:{port}", "Origin": "http://0.0.0.0:{port}"},
    {"Sec-Fetch-Site": "cross-site"},
]


async def test_another_origin_or_host_approves_nothing_even_with_the_cookie(pending: Pending) -> None:
    host = pending.visitor.host
    for headers in ELSEWHERE:
        filled = {n: value and value.format(host=host, port=host.rpartition(":")[2]) for n, value in headers.items()}
        answer = await pending.post(filled)
        assert (filled, answer.status_code) == (filled, 403)
        assert await pending.is_untouched(), filled


async def test_another_host_sees_nothing_even_with_the_cookie(pending: Pending) -> None:
    for host in ("evil.example", "127.0.0.1:1", "127.0.0.1"):
        for path in ("", pending.visitor.live, f"{pending.visitor.path[:-10]}/open/x"):
            answer = await pending.visitor.request("GET", path, {"Host": host})
            assert (host, path, answer.status_code) == (host, path, 403)
            assert "Rent" not in answer.text
    assert "Rent" in (await pending.visitor.request("GET")).text


async def test_without_the_visit_s_cookie_nothing_is_seen_or_decided(pending: Pending) -> None:
    name, _, right = pending.visitor.cookie.partition("=")
    wrong = (None, "", f"{name}=", f"{name}={right[:-1]}", f"{name}={right}0", f"{name}={right.upper()}", f"x={right}")
    for cookie in wrong:
        answers = [
            await pending.visitor.request("GET", headers={"Cookie": cookie}),
            await pending.visitor.request("GET", pending.visitor.live, {"Cookie": cookie}),
            await pending.post({"Cookie": cookie}),
        ]
        for answer in answers:
            expected = {(404, "There is no such page."), (429, "Too many requests with a wrong address.")}
            assert (answer.status_code, answer.text) in expected, cookie
        assert await pending.is_untouched(), cookie
    assert (await pending.post()).status_code == 303


async def test_the_cookie_is_for_the_visit_s_path_alone_and_for_no_script_or_other_site(
    connect: Connect, silent_browser: Path
) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        invitation = await invited(silent_browser)
        async with http_client() as http:
            answer = await http.get(invitation)
        visit = invitation.partition("/open/")[0].partition("/console/")[2]
        given = answer.headers["set-cookie"]
        assert set(given.split("; ")[1:]) == {"HttpOnly", f"Path=/console/{visit}", "SameSite=strict"}
        secret = given.partition("=")[2].partition(";")[0]
        assert len(secret) >= 43
        assert secret not in answer.text
        assert secret not in invitation
        assert "location" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"


async def test_a_second_use_of_the_address_ends_the_visit_in_words(
    connect: Connect, silent_browser: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with connect(confirm_wait=0) as app:
        pending = await first_pending(app, silent_browser)
        async with http_client() as http:  # without the cookie: another browser, or a program
            second = await http.get(await invited(silent_browser))
        assert second.status_code == 403
        assert "set-cookie" not in second.headers
        for answer in (second, await pending.visitor.request("GET"), await pending.post()):
            assert answer.status_code == 403
            assert "opened twice" in answer.text
            assert "piv-mcp approvals" in answer.text
        assert await pending.is_untouched()
        assert "opened a second time" in "".join(capfd.readouterr())
        note = (await app.ok("purchase_number", **BUY))["note"]
        assert "opened twice" in note
        assert "on the page" not in note
        assert "piv-mcp approvals" in note


async def test_of_two_that_use_the_address_at_once_neither_decides(connect: Connect, silent_browser: Path) -> None:
    async with connect(confirm_wait=0) as app:
        entry_id = (await app.ok("purchase_number", **BUY))["spending_id"]
        invitation = await invited(silent_browser)
        async with http_client() as http:
            answers = await asyncio.gather(*(http.get(invitation) for _ in range(2)))
        assert sorted(answer.status_code for answer in answers) == [200, 403]
        cookie = next(answer.headers["set-cookie"] for answer in answers if answer.status_code == 200)
        path = f"/console/{invitation.split('/')[4]}/approvals"
        winner = Visitor(origin_of(invitation), path, cookie.partition(";")[0])
        assert (await winner.request("GET")).status_code == 403
        assert (await Pending(app, winner, entry_id).post()).status_code == 403
        assert (await app.only_entry()).state == "quoted"


async def test_the_same_browser_may_come_again(pending: Pending, silent_browser: Path) -> None:
    """By its Back button, or because an answer did not arrive."""
    invitation = await invited(silent_browser)
    answer = await pending.visitor.request("GET", invitation.removeprefix(pending.visitor.origin))
    assert answer.status_code == 200
    assert (await pending.post()).status_code == 303


async def test_a_prefetched_address_is_not_used_up(connect: Connect, silent_browser: Path) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        invitation = await invited(silent_browser)
        async with http_client() as http:
            for headers in ({"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"X-moz": "prefetch"}):
                assert (await http.get(invitation, headers=headers)).status_code == 503
            assert (await http.head(invitation)).status_code == 503
        assert "Rent" in (await (await visitor(invitation)).request("GET")).text


async def test_a_forged_address_leads_nowhere(connect: Connect, silent_browser: Path) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        invitation = await invited(silent_browser)
        visit, _, secret = invitation.partition("/console/")[2].partition("/open/")
        async with http_client(origin_of(invitation)) as http:
            for forged in (f"{visit}/open/{secret[:-1]}", f"{visit}/open/{secret}0", f"0{visit}/open/{secret}"):
                assert (await http.get(f"/console/{forged}")).status_code == 404
            assert (await http.get(f"/console/{visit}/approvals")).status_code == 404, "not used yet"
        assert "Rent" in (await (await visitor(invitation)).request("GET")).text


OTHER_USER = 4242


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """While there is a user in the list, all connections but a server's own look to be theirs."""
    told: list[int] = []
    tell = peers.uid_of_client

    def uid_of_client(client: peers.Endpoint, server: peers.Endpoint) -> int | None:
        return told[0] if told else tell(client, server)

    monkeypatch.setattr(peers, "uid_of_client", uid_of_client)
    return told


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the users")
async def test_another_user_who_reads_the_process_list_is_refused_and_spoils_nothing(
    connect: Connect, silent_browser: Path, others: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    async with connect(confirm_wait=0) as app:
        entry_id = (await app.ok("purchase_number", **BUY))["spending_id"]
        invitation = await invited(silent_browser)
        others.append(OTHER_USER)
        async with http_client() as http:
            refused = await http.get(invitation)
        assert refused.status_code == 403
        assert "set-cookie" not in refused.headers
        assert f"uid={OTHER_USER}" in "".join(capfd.readouterr())
        others.clear()
        pending = await read_by(app, await visitor(invitation), entry_id)  # it is not used up
        others.append(OTHER_USER)
        for answer in (await pending.visitor.request("GET"), await pending.post()):  # with a cookie that they got at
            assert answer.status_code == 403
            assert "Rent" not in answer.text
        assert await pending.is_untouched()
        others.clear()
        assert (await pending.post()).status_code == 303


def nobody(client: peers.Endpoint, server: peers.Endpoint) -> None:
    """The system does not tell whose a connection is."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the users")
async def test_a_connection_whose_user_cannot_be_told_is_refused_where_they_can(
    connect: Connect, silent_browser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(confirm_wait=0) as app:
        pending = await first_pending(app, silent_browser)
        monkeypatch.setattr(peers, "uid_of_client", nobody)
        assert (await pending.visitor.request("GET")).status_code == 403
        assert (await pending.post()).status_code == 403
        assert await pending.is_untouched()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the users")
async def test_the_system_tells_the_user_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await peers.can_tell(port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert peers.uid_of_client(client.getsockname(), ("127.0.0.1", port)) == os.geteuid()
            assert peers.uid_of_client(("127.0.0.1", 1), ("127.0.0.1", port)) is None
        with socket.socket(socket.AF_INET6) as client:
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            client.connect(("::ffff:127.0.0.1", port))
            assert peers.uid_of_client(("127.0.0.1", client.getsockname()[1]), ("127.0.0.1", port)) == os.geteuid()


ROW = "   0: {client} {server} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0 20 4 30 10 -1"


def test_only_the_row_of_the_client_s_own_socket_counts(tmp_path: Path) -> None:
    client, server = ("127.0.0.1", 0x9C40), ("127.0.0.1", 0x1F90)
    here, there = (
        ("0100007F:9C40", "0100007F:1F90") if sys.byteorder == "little" else ("7F000001:9C40", "7F000001:1F90")
    )
    fields = {"client": here, "server": there, "state": "01", "uid": 1000, "inode": 77}
    table = tmp_path / "tcp"
    for changed, uid in (
        ({}, 1000),
        ({"client": there, "server": here}, None),  # the server's own socket
        ({"inode": 0, "uid": 0, "state": "06"}, None),  # nobody owns it any more
        ({"uid": "many"}, None),
    ):
        table.write_text(f"  sl  local_address ...\n{ROW.format(**fields | changed)}\n")
        assert peers.uid_of_client(client, server, [str(tmp_path / "missing"), str(table)]) == uid, changed
    table.write_text("garbage\n\n")
    assert peers.uid_of_client(client, server, [str(table)]) is None


async def test_what_the_visit_was_not_shown_cannot_be_decided_there(pending: Pending) -> None:
    other = await pending.app.ok("purchase_number", **{**BUY, "duration_months": 2})
    for entry_id in (other["spending_id"], "sp_0000000000", "changes", "open"):
        assert (await replace(pending, id=entry_id).post()).status_code == 404
    assert await pending.app.states() == ["quoted", "quoted"]


async def test_the_page_of_an_expired_approval_decides_nothing(connect: Connect, silent_browser: Path) -> None:
    clock = MovingClock()
    async with connect(confirm_wait=0, clock=clock) as app:
        old = await first_pending(app, silent_browser)
        clock.advance(FREEZE_SECONDS)
        assert (await old.post()).headers["location"] == f"{old.visitor.path}?entry={old.id}&click=approve#{old.id}"
        assert [entry.state for entry in await app.entries()] == ["expired"]
        assert rented(app.sandbox) == []


async def test_a_click_within_a_second_of_a_change_of_the_page_decides_nothing(pending: Pending) -> None:
    """It may have been meant for what was in its place."""
    await pending.app.ok("purchase_number", **{**BUY, "duration_months": 2})
    assert "Approve 8.00 USD" in (await pending.visitor.request("GET")).text
    assert isinstance(pending.app.services.clock, MovingClock)
    early = f"{pending.visitor.path}?entry={pending.id}&click=early#{pending.id}"
    for decision in ("approve", "decline"):
        answer = await pending.post(decision=decision)
        assert (answer.status_code, answer.headers["location"]) == (303, early)
        assert await pending.is_untouched()
    assert "nothing was decided. Look again" in (await pending.visitor.request("GET", early.partition("#")[0])).text
    pending.app.advance(1)
    assert (await pending.post(decision="decline")).headers["location"] == f"{pending.visitor.path}#{pending.id}"
    assert await pending.app.states() == ["declined", "quoted"]


async def test_an_open_page_learns_of_a_decision_of_the_same_process_at_once(
    pending: Pending, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not depend on the looks for commits of other processes."""
    monkeypatch.setattr(SqliteStore, "look_seconds", 3600.0)
    (shown,) = re.findall('data-seen="([0-9a-f]+)"', (await pending.visitor.request("GET")).text)
    async with pending.visitor.following(shown) as lines:
        assert await anext(lines) == "retry: 2000"
        for _ in range(3):  # the first look is made at once
            assert (await pending.visitor.request("GET")).status_code == 200
        await pending.post(decision="decline")
        async with asyncio.timeout(20):
            while await anext(lines) != "event: change":
                pass
            assert shown not in await anext(lines)


async def test_a_page_that_is_shown_later_says_what_has_expired_meanwhile(
    connect: Connect, silent_browser: Path
) -> None:
    clock = MovingClock()
    async with connect(confirm_wait=0, clock=clock) as app:
        old = await first_pending(app, silent_browser)
        clock.advance(FREEZE_SECONDS)
        shown = (await old.visitor.request("GET")).text
        assert "It expired before it was carried out. Nothing was charged." in shown
        assert "Approve 4.00 USD" not in shown


async def test_guesses_are_counted_and_the_right_cookie_still_works(pending: Pending) -> None:
    guesses = [{"Cookie": f"{pending.visitor.cookie}{n}"} for n in range(GUESSES_A_MINUTE + 3)]
    statuses = [(await pending.post(guess)).status_code for guess in guesses]
    assert statuses == [404] * GUESSES_A_MINUTE + [429] * 3
    assert (await pending.visitor.request("GET", headers={"Cookie": None})).status_code == 429
    assert await pending.is_untouched()
    assert (await pending.post(decision="decline")).status_code == 303


async def test_looking_never_decides(pending: Pending) -> None:
    for query in ({}, {"decision": "approve"}, {"decision": "approve", "entry": pending.id, "click": "approve"}):
        shown = await pending.visitor.request("GET", params=query)
        assert (query, shown.status_code, "Approve 4.00 USD" in shown.text) == (query, 200, True)
        head = await pending.visitor.request("HEAD", params=query)
        assert (query, head.status_code, head.text) == (query, 200, "")
        assert await pending.is_untouched(), query


async def test_other_methods_are_not_allowed(pending: Pending) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        query, headers = {"decision": "approve"}, {"Origin": pending.visitor.origin}
        answer = await pending.visitor.request(method, pending.path, headers, params=query)
        assert (method, answer.status_code) == (method, 405)
        assert await pending.is_untouched(), method


async def test_a_decision_is_one_of_two_words(pending: Pending) -> None:
    for decision in ("", "approved", "APPROVE", "yes", "cancel", "approve ", "executing"):
        assert (decision, (await pending.post(decision=decision)).status_code) == (decision, 400)
        assert await pending.is_untouched(), decision


async def test_a_form_of_another_kind_decides_nothing(pending: Pending) -> None:
    words = json.dumps({"decision": "approve"}).encode()
    for content in (b"", b"\xff\xfe\x00", b"&" * 4000, b"=&=%&%zz", words):
        assert (content, (await pending.post(content=content)).status_code) == (content, 400)
        assert await pending.is_untouched(), content


async def test_an_oversized_form_decides_nothing(pending: Pending) -> None:
    assert (await pending.post(more="x" * 5000)).status_code == 400
    assert (await pending.post(more="x" * 5_000_000)).status_code == 400
    assert await pending.is_untouched()
    assert (await pending.post(more="x" * 3000)).status_code == 303


async def test_of_many_decisions_at_once_one_counts(pending: Pending) -> None:
    decisions: list[Decision] = ["approve", "decline"] * 10
    answers = await asyncio.gather(*(pending.post(decision=decision) for decision in decisions))
    firsts = [
        decision
        for decision, answer in zip(decisions, answers, strict=True)
        if "click=" not in answer.headers["location"]
    ]
    assert len(firsts) == 1
    (entry,) = await pending.app.entries()
    assert entry.state == {"approve": "approved", "decline": "declined"}[firsts[0]]


async def test_ten_approvals_and_ten_equal_calls_at_once_are_one_charge(connect: Connect, silent_browser: Path) -> None:
    async with connect() as app, AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(asking(app)) for _ in range(10)]
        invitation = await invited(silent_browser)
        pending = await read_by(app, await visitor(invitation), (await app.only_entry()).id)
        await asyncio.gather(*(pending.post() for _ in range(10)))
        answers = await asyncio.gather(*map(answer_of, calls))
        assert {answer["spending_id"] for answer in answers} == {pending.id}
        assert {answer["status"] for answer in answers} == {"charged"}
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_a_form_on_another_site_s_page_approves_nothing(connect: Connect, person: BrowserPerson) -> None:
    """In the very browser that has the cookie."""
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        entry = await app.only_entry()
        action = f"{page.url}/{entry.id}"
        form = f'<form method="post" action="{action}"><button name="decision" value="approve">Win</button></form>'
        async with stranger(Route("/", serving(form))) as site:
            for host in (site, site.replace("127.0.0.1", "localhost")):
                app.advance(READ_SECONDS)
                await page.goto(host)
                await page.get_by_role("button", name="Win").click()
                await page.wait_for_url(action)
                await expect(page.get_by_text("This request does not come from a page of piv-mcp.")).to_be_visible()
                assert (await app.only_entry()).state == "quoted"
        person.problems.clear()  # the browser reports the refusals


async def test_another_port_of_this_machine_gets_no_cookie_from_the_browser(
    connect: Connect, person: BrowserPerson
) -> None:
    cookies: list[str] = []

    def look(request: Request) -> Response:
        cookies.append(request.headers.get("cookie", ""))
        return HTMLResponse("<p>Hello")

    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        assert await page.context.cookies(page.url), "there is one"
        async with stranger(Route("/{path:path}", look)) as site:
            for path in ("", "console", "console/x/approvals", "console/x/open/y"):
                await page.goto(f"{site}/{path}")
        assert cookies
        assert set(cookies) == {""}


async def test_the_page_shows_in_no_frame(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        address = page.url
        framing = f'<iframe src="/other"></iframe><iframe src="{address}"></iframe>'
        async with stranger(Route("/", serving(framing)), Route("/other", serving("<button>Shown</button>"))) as site:
            await page.goto(site)
            _, other, framed = page.frames
            await expect(other.get_by_role("button")).to_have_text("Shown")
            assert framed.url.startswith("chrome-error:")
            assert await framed.get_by_role("button").count() == 0
            await page.goto(address)
            await expect(page.get_by_role("button", name="Approve")).to_be_visible()
        person.problems.clear()  # the browser reports the refusal
