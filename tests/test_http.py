"""The server over HTTP: both protocol eras, who is let in, what each agent is offered, and how it ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fleets import HEADERS, Replica, Site
from harness import ERAS, Era, approver, content_of, text_of, until
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import ResourceTemplateReference
from processes import sms_webhook

from piv_mcp.errors import ConfigError
from piv_mcp.log import Redactor
from piv_mcp.sandbox import Sandbox
from piv_mcp.server import identity
from piv_mcp.server.fleet import Fleet
from piv_mcp.server.http import serve_http
from piv_mcp.server.offers import instructions
from piv_mcp.store import SqliteStore, agents

pytest_plugins = ["fleet_fixtures"]


@pytest.fixture(autouse=True)
def agents_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after a second, as the tests of that say themselves."""
    monkeypatch.setattr(identity, "ROSTER_SECONDS", 0.01)


@pytest.fixture
async def server(place: Site) -> AsyncIterator[Replica]:
    async with place.server() as replica:
        yield replica


def rpc(method: str, **params: Any) -> dict[str, Any]:
    """A request of the handshake era."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


# both eras


@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_uses_tools_resources_and_prompts(place: Site, server: Replica, era: Era) -> None:
    token = await place.agent()
    async with server.client(token, era) as client:
        assert {"list_numbers", "wait_for_code"} <= {tool.name for tool in (await client.list_tools()).tools}
        numbers = content_of(await client.call_tool("list_numbers", {}))
        assert numbers["total"] > 0
        read = await client.read_resource("piv://account")
        assert "balance" in str(read.contents[0])
        assert (await client.list_prompts()).prompts
        template = ResourceTemplateReference(uri="piv://numbers/{piv_num_id}")
        found = await client.complete(template, {"name": "piv_num_id", "value": ""})
        assert found.completion.values


@pytest.mark.parametrize("era", ERAS)
async def test_a_list_that_depends_on_who_asks_is_cached_by_nobody_else(place: Site, server: Replica, era: Era) -> None:
    async with server.client(await place.agent(), era) as client:
        for listed in (client.list_tools, client.list_prompts, client.list_resources, client.list_resource_templates):
            if era == "auto":
                assert (await listed()).cache_scope == "private"


@pytest.mark.parametrize("era", ERAS)
async def test_a_webhook_wakes_a_call_that_waits(place: Site, server: Replica, account: Sandbox, era: Era) -> None:
    token, number = await place.agent(), next(iter(account.state.numbers))
    waiting = asyncio.create_task(server.call(token, "wait_for_code", era, number=number, timeout_seconds=20))
    async with server.http() as http:
        path = f"/webhooks/{await server.secret()}"

        async def deliver() -> bool:
            return (await http.post(path, content=sms_webhook(number, "Your code is 918273", "918273"))).is_success

        await until(deliver, seconds=5, what="the webhook is taken")
        assert (await http.post("/webhooks/of-somebody-else-1234", content=b"{}")).status_code == 404
    answer = await waiting
    assert "918273" in json.dumps(answer)


async def test_progress_arrives_while_a_call_waits(
    place: Site, server: Replica, account: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piv_mcp.inbox.wait.PROGRESS_SECONDS", 0.05)
    token, number = await place.agent(), next(iter(account.state.numbers))
    for era in ERAS:
        told: list[float] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            told.append(progress)  # noqa: B023 - called before the next turn

        async with server.client(token, era) as client:
            wait = {"number": number, "timeout_seconds": 1}
            assert not (await client.call_tool("wait_for_code", wait, progress_callback=on_progress)).is_error
            assert told, era


async def test_updates_come_to_those_who_listen(place: Site, server: Replica, account: Sandbox) -> None:
    token, number = await place.agent(), next(iter(account.state.numbers))
    async with server.client(token) as client, client.listen(resource_subscriptions=["piv://inbox"]) as updates:
        async with server.http() as http:
            sent = await http.post(f"/webhooks/{await server.secret()}", content=sms_webhook(number, "Hello"))
            assert sent.is_success
        async with asyncio.timeout(10):
            async for update in updates:
                assert update.uri == "piv://inbox"  # type: ignore[union-attr]
                break


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_a_client_without_a_session_is_told_that_it_cannot_subscribe(place: Site, server: Replica) -> None:
    async with server.client(await place.agent(), "legacy") as client:
        with pytest.raises(MCPError, match="keeps no sessions"):
            await client.subscribe_resource("piv://inbox")  # pyright: ignore[reportDeprecated]


async def test_what_cannot_be_asked_in_the_client_goes_to_the_person(place: Site, account: Sandbox) -> None:
    async with place.server(confirm_wait=0) as server:
        person = approver()
        async with server.client(await place.agent(attended=True), "legacy", person) as client:
            bought = content_of(
                await client.call_tool(
                    "purchase_number", {"country_code": "SE", "duration_months": 1, "auto_renew": False}
                )
            )
        assert bought["status"] == "approval_required"
        assert "piv-mcp approvals" in bought["note"]
        assert person.asked == []
        assert account.charges == []


# who is let in


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Basic cGl2OnBpdg==", "Bearer piv_agent_x", "Bearer " + "x" * 5000, "Bearer \xff"],
)
async def test_whoever_has_no_token_is_told_nothing(server: Replica, header: str | None) -> None:
    async with server.http() as http:
        headers = [] if header is None else [(b"Authorization", header.encode("latin-1"))]
        for request in (rpc("tools/list"), rpc("nonsense"), {"broken": True}):
            answer = await http.post("/mcp", json=request, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert len(answer.content) < 100


async def test_of_two_tokens_none_counts(place: Site, server: Replica) -> None:
    """What stands in front might have looked at the other one."""
    token = await place.agent()
    own, other = ("Authorization", f"Bearer {token}"), ("Authorization", "Bearer piv_agent_x")
    async with server.http() as http:
        for headers, status in (([own], 200), ([own, other], 401), ([other, own], 401), ([own, own], 401)):
            given = [*HEADERS.items(), *headers]
            assert (await http.post("/mcp", json=rpc("ping"), headers=given)).status_code == status


async def test_where_connections_are_few_one_agent_has_a_quarter_of_them(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piv_mcp.server.http.MOST_CONNECTIONS", 40)
    greedy, other = await place.agent("greedy"), await place.agent("other")
    async with place.server() as server, server.http(greedy) as http:
        number = (await server.call(other, "list_numbers"))["numbers"][0]["piv_num_id"]
        arguments = {"number": number, "timeout_seconds": 50}
        call = rpc("tools/call", name="wait_for_code", arguments=arguments)
        waiting = [asyncio.create_task(http.post("/mcp", json=call)) for _ in range(25)]

        async def refused() -> bool:
            return sum(task.done() and task.result().status_code == 429 for task in waiting) == 15

        await until(refused, seconds=20, what="all but ten are refused")
        assert (await server.call(other, "list_numbers"))["total"] == 2
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_server_without_agents_lets_nobody_in(server: Replica) -> None:
    async with server.http("piv_agent_guess") as http:
        assert (await http.post("/mcp", json=rpc("ping"))).status_code == 401


async def test_an_agent_that_is_revoked_is_out_within_two_seconds(
    place: Site, server: Replica, account: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, other = await place.agent(), await place.agent("other")
    monkeypatch.setattr(identity, "ROSTER_SECONDS", 1.0)
    await asyncio.sleep(1)
    number = next(iter(account.state.numbers))
    async with server.http(token) as http, server.http(other) as staying:
        wait = rpc("tools/call", name="wait_for_code", arguments={"number": number, "timeout_seconds": 30})
        waiting = asyncio.create_task(http.post("/mcp", json=wait))
        quick = asyncio.create_task(
            staying.post(
                "/mcp", json=rpc("tools/call", name="wait_for_code", arguments={"number": number, "timeout_seconds": 4})
            )
        )
        await asyncio.sleep(0.3)
        assert not waiting.done()
        store = SqliteStore(place.settings().store_path(place.data_dir))
        assert await store.write(agents.revoke, "bot", time.time())
        await store.close()
        revoked_at = time.monotonic()

        async def is_out() -> bool:
            return (await http.post("/mcp", json=rpc("ping"))).status_code == 401

        await until(is_out, seconds=2, what="the token is refused", every=0.1)
        cut = await waiting
        assert time.monotonic() - revoked_at < 4
        assert "codes" not in cut.text
        assert (await quick).is_success


async def test_guesses_share_what_they_cost(place: Site, server: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "ROSTER_SECONDS", 1.0)
    queries = 0
    listed = agents.listed

    def counted(connection: Any) -> Any:
        nonlocal queries
        queries += 1
        return listed(connection)

    monkeypatch.setattr(agents, "listed", counted)
    began = time.monotonic()
    async with server.http() as http:
        guesses = [{"Authorization": f"Bearer piv_agent_{guess}"} for guess in range(100)]
        answers = await asyncio.gather(*(http.post("/mcp", headers=guess) for guess in guesses))
        assert {answer.status_code for answer in answers} == {401}
    assert queries <= (time.monotonic() - began) * (1 + 1 / identity.ASK_AGAIN_SECONDS) + 3


async def test_fifty_at_once_get_their_own(place: Site, server: Replica) -> None:
    areas = ["inbox", "numbers", "proxies", "domains", "whites"]
    tokens = [(area, await place.agent(f"bot-{area}-{turn}", toolsets=area)) for turn in range(2) for area in areas]
    expected = {
        area: {tool.name for tool in (await listed(server, token, "legacy"))} for area, token in tokens[: len(areas)]
    }
    assert len({frozenset(names) for names in expected.values()}) == len(areas)

    async def check(area: str, token: str, era: Era) -> None:
        assert {tool.name for tool in await listed(server, token, era)} == expected[area]

    await asyncio.gather(*(check(*tokens[turn % len(tokens)], ERAS[turn % 2]) for turn in range(50)))


async def listed(server: Replica, token: str, era: Era) -> Any:
    async with server.client(token, era) as client:
        return (await client.list_tools()).tools


# what an agent is offered


@pytest.mark.parametrize("era", ERAS)
async def test_the_list_of_tools_is_made_from_the_rights_of_the_agent(place: Site, server: Replica, era: Era) -> None:
    reader = await place.agent("reader", toolsets="numbers,inbox", read_only=True)
    thrifty = await place.agent("thrifty", spend_mode="deny")
    tools = {tool.name for tool in await listed(server, reader, era)}
    assert "list_numbers" in tools
    assert not {"purchase_number", "send_sms", "list_domains"} & tools
    others = {tool.name for tool in await listed(server, thrifty, era)}
    assert "list_domains" in others
    assert "purchase_number" not in others
    async with server.client(reader, era) as client:
        assert client.instructions == instructions(("numbers", "inbox"))
        names = {prompt.name for prompt in (await client.list_prompts()).prompts}
    async with server.client(thrifty, era) as client:
        assert names < {prompt.name for prompt in (await client.list_prompts()).prompts}


@pytest.mark.parametrize("era", ERAS)
async def test_a_resource_of_an_area_that_the_agent_lacks_is_as_unknown_as_any(
    place: Site, server: Replica, era: Era
) -> None:
    async with server.client(await place.agent("all"), era) as client:
        everything = {str(item.uri) for item in (await client.list_resources()).resources}
    async with server.client(await place.agent(toolsets="inbox,domains"), era) as client:
        listed_ = {str(item.uri) for item in (await client.list_resources()).resources}
        templates = {item.uri_template for item in (await client.list_resource_templates()).resource_templates}
        answers: list[str] = []
        for uri in ("piv://account", "piv://accounts", "piv://numbers/abc", "piv://letters/abc"):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(uri)
            answers.append(str(caught.value).replace(uri, "X"))
    assert listed_ == {"piv://inbox", "piv://domains"} < everything
    assert templates == {"piv://domains/{domain_id}", "piv://domains/{domain_id}/dns"}
    assert len(set(answers)) == 1
    assert "numbers" not in answers[0]


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_that_is_not_offered_is_as_unknown_as_any(place: Site, server: Replica, era: Era) -> None:
    token = await place.agent(toolsets="inbox")
    async with server.client(token, era) as client:
        hidden = await raw(client, "purchase_number")
        unknown = await raw(client, "purchase_numbir")  # as near to what is offered
    assert hidden.replace("purchase_number", "X") == unknown.replace("purchase_numbir", "X")


async def raw(client: Client, tool: str) -> str:
    """The text of a call's result, also of a tool that the client has not seen listed."""
    return text_of(await client.session.call_tool(tool, {"country_code": "SE"}))  # type: ignore[arg-type]


async def test_an_agent_never_has_more_than_the_server(place: Site) -> None:
    token = await place.agent(toolsets="inbox,domains", spend_mode="budget")
    async with place.server(toolsets="inbox", read_only=True) as server:
        tools = {tool.name for tool in await listed(server, token, "auto")}
    assert "list_events" in tools
    assert "list_domains" not in tools


# hosts, pages, proxies


async def test_another_host_or_page_is_refused(place: Site) -> None:
    token = await place.agent()
    async with place.server(public_url="https://mcp.example.com") as server, server.http(token) as http:

        async def status(**headers: str) -> int:
            return (await http.post("/mcp", json=rpc("ping"), headers=headers)).status_code

        assert await status() == 421
        assert await status(Host="mcp.example.com") == 200
        assert await status(Host="MCP.example.com:443") == 200
        assert await status(Host="evil.example.com") == 421
        assert await status(Host="mcp.example.com", Origin="https://mcp.example.com") == 200
        assert await status(Host="mcp.example.com", Origin="https://evil.example.com") == 403
        assert await status(Host="mcp.example.com", Origin="null") == 403
        # nobody but a proxy that is known may say what was asked for
        assert await status(**{"X-Forwarded-Host": "mcp.example.com"}) == 421
        assert (await http.get("/health")).status_code == 200
        assert (await http.get("/ready")).status_code == 200


async def test_a_proxy_that_is_known_tells_the_host(place: Site) -> None:
    token = await place.agent()
    settings = {"public_url": "https://mcp.example.com", "trusted_proxies": "127.0.0.0/8"}
    async with place.server(**settings) as server, server.http(token) as http:
        asked = await http.post("/mcp", json=rpc("ping"), headers={"X-Forwarded-Host": "mcp.example.com"})
        assert asked.status_code == 200


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_there_is_nothing_to_open_or_end_without_sessions(place: Site, server: Replica, method: str) -> None:
    async with server.http(await place.agent()) as http:
        answer = await http.request(method, "/mcp")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


async def test_a_body_is_bounded(place: Site, server: Replica) -> None:
    async with server.http(await place.agent()) as http:
        huge = json.dumps(rpc("tools/call", name="x", arguments={"text": "x" * 2_000_000}))
        assert (await http.post("/mcp", content=huge)).status_code == 413


# the beginning and the end


async def test_settings_that_do_not_go_together_are_refused_in_words(place: Site, tmp_path: Path) -> None:
    for wrong, words in (
        ({"http_host": "192.0.2.1"}, "PIV_PUBLIC_URL is not set"),
        ({"api_key": None, "accounts_dir": tmp_path / "no-such-folder"}, "PIV_ACCOUNTS_DIR cannot be read"),
        ({"accounts_dir": tmp_path, "webhook_secret": "a-secret-path-of-the-tests"}, "is for one account"),
    ):
        with pytest.raises(ConfigError, match=words):
            await serve_http(place.settings(**wrong), Redactor(), asyncio.Event())


async def test_a_store_that_is_out_of_reach_is_said_and_met_again(place: Site, account: Sandbox) -> None:
    token, number = await place.agent(), next(iter(account.state.numbers))
    path = place.settings().store_path(place.data_dir)
    aside = path.with_name("aside.sqlite3")
    path.rename(aside)
    path.mkdir()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_http(place.settings(), Redactor(), stop, ready=port.set_result))
    server = Replica(await port, place.settings())
    try:
        async with server.http(token, timeout=30) as http:
            assert (await http.get("/health")).status_code == 200
            assert (await http.get("/ready")).status_code == 503
            assert (await http.post("/mcp", json=rpc("tools/list"))).status_code == 503
            sent = await http.post("/webhooks/of-nobody-yet-1234", content=sms_webhook(number, "Hello"))
            assert sent.status_code == 503
            path.rmdir()
            aside.rename(path)
            await until(server.is_ready, seconds=20, what="the server is ready again", every=0.1)
            assert (await server.call(token, "list_numbers"))["total"] == 2
    finally:
        stop.set()
        await serving


async def test_a_port_that_is_taken_is_said(place: Site, server: Replica) -> None:
    with pytest.raises(ConfigError, match="in use by another program"):
        await serve_http(place.settings(http_port=server.port), Redactor(), asyncio.Event())


async def test_a_stop_lets_nobody_in_and_hands_back_a_cursor(place: Site, account: Sandbox) -> None:
    token, numbers = await place.agent(), list(account.state.numbers)
    async with place.server() as server, server.client(token) as client:
        await client.list_tools()  # or the client would do so when it has the answer
        waits = [
            asyncio.create_task(client.call_tool("wait_for_code", {"number": number, "timeout_seconds": 50}))
            for number in numbers
        ]
        await asyncio.sleep(0.5)
        assert not any(wait.done() for wait in waits)
        stopped_at = time.monotonic()
        server.stop.set()
        for wait in waits:
            answer = content_of(await wait)
            assert answer["after"]
        assert time.monotonic() - stopped_at < 10


async def test_a_stop_ends_the_streams_of_subscriptions(place: Site) -> None:
    token = await place.agent()
    async with (
        place.server() as server,
        server.client(token) as client,
        client.listen(resource_subscriptions=["piv://inbox"]) as updates,
        asyncio.timeout(10),
    ):
        server.stop.set()
        assert [update async for update in updates] == []


async def test_a_server_that_stops_is_not_ready_and_takes_webhooks_to_the_end(
    place: Site, account: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, number = await place.agent(), next(iter(account.state.numbers))

    def never(self: Fleet) -> None:
        """A call takes its time."""

    monkeypatch.setattr(Fleet, "stop_waits", never)
    async with place.server() as server, server.http(token) as http:
        wait = rpc("tools/call", name="wait_for_code", arguments={"number": number, "timeout_seconds": 4})
        waiting = asyncio.create_task(http.post("/mcp", json=wait))
        await asyncio.sleep(0.3)
        server.stop.set()
        await asyncio.sleep(0.1)
        assert (await http.get("/ready")).status_code == 503
        assert (await http.get("/health")).status_code == 200
        refused = await http.post("/mcp", json=rpc("ping"))
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        sent = await http.post(
            f"/webhooks/{await server.secret()}", content=sms_webhook(number, "Code 445566", "445566")
        )
        assert sent.is_success
        assert "445566" in (await waiting).text
