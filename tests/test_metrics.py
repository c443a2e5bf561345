"""Metrics: what happened is counted under bounded labels, and nothing of the account's is in them."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from fleets import piv_day, site
from harness import ERAS, Connect, Connected, Era, approver, until
from mcp.shared.exceptions import MCPError
from plain_http import http_client
from processes import KEY, free_port
from purchases import BUY_NUMBER, REGISTER
from starlette.requests import Request

from piv_mcp import metrics
from piv_mcp.cli.metrics import metrics_served
from piv_mcp.config import load
from piv_mcp.errors import ConfigError, StoreError
from piv_mcp.sandbox import Failure, Sandbox, Timing
from piv_mcp.web import metrics_port
from piv_mcp.web.metrics_port import Exposition, PrometheusRecorder

pytestmark = pytest.mark.usefixtures("instant_retries")

Look = Callable[[], Awaitable[dict[str, float]]]
"""The samples that Prometheus would see, by name and labels."""

MARK = "zq7marked"
CODE = "590417"


@pytest.fixture
async def look() -> AsyncIterator[Look]:
    """Metrics are on."""
    exposition = Exposition(PrometheusRecorder())

    async def samples() -> dict[str, float]:
        shown = await exposition.show(Request({"type": "http", "method": "GET", "headers": []}))
        lines = [line.rpartition(" ") for line in bytes(shown.body).decode().splitlines() if line[:1] != "#"]
        return {name: float(value) for name, _, value in lines}

    with metrics.recorded_by(exposition._recorder):  # pyright: ignore[reportPrivateUsage]
        yield samples


async def eventful(app: Connected) -> str:
    """Much happens, and in all of it are marks. Returns the number."""
    number = app.sandbox.add_numbers(1)[0]
    phone = app.sandbox.state.numbers[number].phone_number.lstrip("+")
    await app.ok("list_numbers", search=MARK)
    waiting = asyncio.create_task(app.ok("wait_for_code", number=number, sender=MARK, timeout_seconds=50))
    watch = app.services.history.watches.of(number)
    # Its first look is over, too: a look under way would find the message before the webhook brings it.
    await until(lambda: watch.watchers and watch.is_resting, seconds=10, what="the wait has begun")
    await app.sandbox.receive_sms(number, f"{MARK}: your code is {CODE}", sender=MARK)
    answer = await waiting
    assert answer["newest"]["code"] == CODE
    await app.tell(f"unheard.{MARK}", piv_num_id=MARK)
    await app.error(f"read_{MARK}")
    await app.error("get_number", number=MARK)
    app.sandbox.fail_next(Failure(kind="status", status=418, code=MARK.upper(), message=MARK, path="/account"))
    await app.error("get_account")
    return f"{number} {phone}"


@pytest.mark.parametrize("era", ERAS)
async def test_what_happens_is_counted(connect: Connect, look: Look, era: Era) -> None:
    async with connect(era=era, webhooks=True) as app:
        await eventful(app)
        seen = await look()
    assert seen['piv_mcp_requests_total{method="tools/call",result="ok",tool="wait_for_code"}'] == 1
    assert seen['piv_mcp_requests_total{method="tools/call",result="UNKNOWN_TOOL",tool="other"}'] == 1
    assert seen['piv_mcp_requests_total{method="tools/call",result="other",tool="get_account"}'] == 1
    assert seen['piv_mcp_waits_total{end="found",what="code"}'] == 1
    assert seen["piv_mcp_webhook_to_answer_seconds_count"] == 1
    assert seen['piv_mcp_events_total{source="webhook",type="sms.received"}'] == 1
    assert seen['piv_mcp_events_total{source="webhook",type="other"}'] == 1
    assert seen['piv_mcp_webhooks_total{status="200"}'] == 1
    assert seen['piv_mcp_api_requests_total{priority="person",status="418"}'] == 1
    assert seen['piv_mcp_store_seconds_count{operation="write"}'] > 0
    assert seen['piv_mcp_store_seconds_count{operation="read"}'] > 0
    assert seen["piv_mcp_store_up"] == 1
    assert seen["piv_mcp_requests_in_progress"] == 0
    assert seen['piv_mcp_waits_in_progress{what="code"}'] == 0


async def test_nothing_of_the_account_is_in_them(connect: Connect, look: Look) -> None:
    async with connect(webhooks=True, person=approver()) as app:
        names = await eventful(app)
        secrets = [app.sandbox.api_key, (app.sandbox.webhook_url or "").rpartition("/")[2]]
        text = "\n".join(await look())
    assert "piv_mcp_events_total" in text
    for word in [MARK, MARK.upper(), CODE, *names.split(), *secrets]:
        assert word not in text, word


async def test_labels_are_bounded(connect: Connect, look: Look) -> None:
    """Whatever strangers and clients send, the number of series stays what it is."""
    async with connect() as app:
        before: set[str] = set()
        for round_ in range(2):
            for _ in range(3):
                unique = f"{round_}-{_}"
                await app.tell(f"unheard.{unique}")
                await app.error(f"no_such_{unique}")
                with pytest.raises(MCPError):
                    await app.client.get_prompt(f"none_{unique}")
            if round_ == 0:
                before = set(await look())
        new = set(await look()) - before
    assert not {name for name in new if not name.startswith(("python_", "process_"))}


async def test_a_wait_counts_by_how_it_ended(connect: Connect, look: Look) -> None:
    async with connect() as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.ok("wait_for_code", number=number, timeout_seconds=0.1)
        await app.ok("wait_for_event", types=["domain.failed"], timeout_seconds=0.1)
        hanging = asyncio.create_task(app.call("wait_for_code", number=number, timeout_seconds=300))
        waiting = 'piv_mcp_waits_in_progress{what="code"}'

        async def is_waiting() -> bool:
            return (await look())[waiting] == 1

        await until(is_waiting, seconds=10, what="the wait has begun")
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)

        async def has_ended() -> bool:
            return (await look())[waiting] == 0

        await until(has_ended, seconds=10, what="the wait has ended")
        seen = await look()
    assert seen['piv_mcp_waits_total{end="timeout",what="code"}'] == 1
    assert seen['piv_mcp_waits_total{end="timeout",what="event"}'] == 1
    assert seen['piv_mcp_waits_total{end="cancelled",what="code"}'] == 1


async def test_the_budget_that_is_left_and_the_approvals_that_wait(connect: Connect, look: Look) -> None:
    async with connect(confirm_wait=0, spend_mode="budget", auto_approve_max="5", daily_budget="20") as app:
        account = await app.services.store.everything.account()
        left, waiting = (
            f'{name}{{account="{account}"}}' for name in ("piv_mcp_budget_left_dollars", "piv_mcp_approvals_waiting")
        )
        seen = await look()
        assert (seen[left], seen[waiting]) == (20, 0)
        await app.receipt(BUY_NUMBER)
        await app.buy(REGISTER)
        seen = await look()
        assert (seen[left], seen[waiting]) == (16, 1)


async def test_a_store_that_does_not_answer_is_told_and_holds_nobody_up(
    connect: Connect, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_port, "LOOK_SECONDS", 0.05)

    async def hangs() -> metrics.Reading:
        await asyncio.Event().wait()
        return {}

    async def fails() -> metrics.Reading:
        raise StoreError("the disk is full")

    async with connect():
        for lookup in (hangs, fails):
            forget = metrics.look_up(lookup)
            seen = await look()
            assert seen["piv_mcp_store_up"] == 0
            assert 'piv_mcp_approvals_waiting{account="1"}' in seen
            forget()
        assert (await look())["piv_mcp_store_up"] == 1


async def test_the_port_is_served_while_the_server_runs(data_dir: Path) -> None:
    port = free_port()
    settings = load(data_dir=data_dir, metrics_port=port)
    async with http_client() as http:
        async with metrics_served(settings):

            async def answer() -> httpx.Response | None:
                try:
                    return await http.get(f"http://127.0.0.1:{port}/metrics")
                except httpx.TransportError:
                    return None

            response = await until(answer, seconds=10, what="the metrics")
            assert response is not None
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/plain")
            assert "process_resident_memory_bytes" in response.text
            assert (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 404
            assert metrics.is_on()
        assert not metrics.is_on()


async def test_without_a_port_nothing_is_recorded(data_dir: Path) -> None:
    async with metrics_served(load(data_dir=data_dir)):
        assert not metrics.is_on()


async def test_without_the_library_the_start_says_what_to_install(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError) as refused:
        async with metrics_served(load(data_dir=data_dir, metrics_port=free_port())):
            pass
    assert "piv-mcp[server]" in (refused.value.hint or "")


def test_the_services_import_it_only_where_it_is_asked_for() -> None:
    program = """
import sys
import piv_mcp.web.metrics_port, piv_mcp.cli.main, piv_mcp.runtime
sys.exit("prometheus_client" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


async def test_over_http_too_no_token_and_no_name_is_in_them(data_dir: Path, look: Look) -> None:
    sandbox = Sandbox(KEY, rate_limit=0, timing=Timing.instant())
    async with piv_day(sandbox) as base_url:
        place = site(data_dir, base_url)
        token = await place.agent(MARK)
        async with place.server() as replica:
            await replica.call(token, "list_numbers", search=MARK)
            async with replica.http(f"{token}x") as http:
                assert (await http.post("/mcp", json={})).status_code == 401
                assert (await http.post(f"/webhooks/{MARK}", json={})).status_code == 404
            seen = await look()
    assert seen['piv_mcp_requests_total{method="tools/call",result="ok",tool="list_numbers"}'] == 1
    assert seen['piv_mcp_webhooks_total{status="404"}'] == 1
    text = "\n".join(seen)
    for word in (MARK, token, KEY):
        assert word not in text
    await sandbox.aclose()


def test_the_page_on_operations_has_every_metric_and_no_other() -> None:
    page = (Path(__file__).parent.parent / "docs" / "operations.md").read_text("utf-8")
    suffixes = {"counter": "_total", "histogram": "", "gauge": ""}
    there = {f"{metric.name}{suffixes[metric.kind]}" for metric in (*metrics.ALL, *metrics.LOOKED_UP, metrics.STORE_UP)}
    named = {name.removesuffix("_bucket") for name in re.findall(r"piv_mcp_[a-z_]+[a-z]", page)}
    assert named - {"piv_mcp_restored"} == there
