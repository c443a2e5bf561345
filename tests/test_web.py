"""The webhook endpoint over real HTTP, and who serves it."""

import asyncio
import contextlib
import gzip
import json
import socket
import sqlite3
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest
import structlog.testing
from harness import until
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import MovingClock
from plain_http import http_client
from processes import SECRET, free_port, sms_webhook, within
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of
from piv_mcp.store import SqliteStore, events, facts
from piv_mcp.store.changes import Changes
from piv_mcp.web.addresses import Addresses
from piv_mcp.web.bodies import UnreadableBodyError, object_in
from piv_mcp.web.guards import Guesses
from piv_mcp.web.listener import TAKE_OVER_SECONDS, Listener, listen
from piv_mcp.web.webhook_endpoint import GUESSES_A_MINUTE, MAX_BODY, WebhookEndpoint

FORM = "application/x-www-form-urlencoded"
JSON = {"Content-Type": "application/json", "User-Agent": "piv.day-webhook/1.0"}
GOOD = sms_webhook("num-a", "Your code is 482913", "482913")


def webhook_app(inbox: Inbox) -> ASGIApp:
    webhooks = WebhookEndpoint(inbox, Addresses(inbox.store, SECRET, inbox.clock))
    return Starlette(routes=[Route("/webhooks/{secret}", webhooks.receive, methods=["POST"])])


@asynccontextmanager
async def hosting(app: ASGIApp, port: int = 0) -> AsyncGenerator[Listener]:
    """A host that runs as long as the block, and maybe does not get its port."""
    host = Listener(app, "127.0.0.1", port)
    running = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@dataclass
class Endpoint:
    http: httpx.AsyncClient
    inbox: Inbox
    port: int
    store_path: Path

    async def post(self, content: bytes, secret: str = SECRET, **headers: str) -> httpx.Response:
        return await self.http.post(f"/webhooks/{secret}", content=content, headers={**JSON, **headers})

    async def codes(self) -> list[str | None]:
        return [event.code for event in await self.inbox.store.read(events.codes, None, limit=10)]


@pytest.fixture
async def endpoint(data_dir: Path) -> AsyncIterator[Endpoint]:
    store = SqliteStore(data_dir / "store.sqlite3")
    inbox = Inbox(store, Changes(store))
    async with hosting(webhook_app(inbox)) as host:
        await asyncio.wait_for(host.serving.wait(), 20)
        base = f"http://127.0.0.1:{host.port}"
        async with http_client(base) as http:
            yield Endpoint(http, inbox, host.port, store.path)
    await inbox.changes.close()
    await store.close()


async def test_an_event_is_acknowledged_with_its_id(endpoint: Endpoint) -> None:
    answer = await endpoint.post(GOOD)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "id": 1, "new": True})
    again = await endpoint.post(GOOD)
    assert (again.status_code, again.json()) == (200, {"ok": True, "id": 1, "new": False})
    assert await endpoint.codes() == ["482913"]


@pytest.mark.parametrize("guess", ["wrong", SECRET[:-1], f"{SECRET}x", "%00", "%ff%fe", "ümlaut", "x" * 5000])
async def test_a_wrong_secret_is_not_found_and_is_counted(endpoint: Endpoint, guess: str) -> None:
    assert (await endpoint.post(GOOD, guess)).status_code == 404
    assert await endpoint.codes() == []
    count, at = await endpoint.inbox.store.read(
        lambda c: [facts.get(c, f"wrong_secret:{name}") for name in ("count", "at")]
    )
    assert count == "1"
    assert float(at or 0) == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("path", ["/webhooks/", "/webhooks", "/", f"/webhooks/{SECRET}/more", f"/webhooks//{SECRET}"])
async def test_other_paths_are_not_found(endpoint: Endpoint, path: str) -> None:
    answer = await endpoint.http.post(path, content=GOOD, headers=JSON)
    assert answer.status_code == 404


async def test_many_guesses_get_a_bare_429_and_the_right_secret_passes_at_once(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def guess(n: int, **headers: str) -> int:
        return (await endpoint.post(GOOD, f"guess-{n}", **headers)).status_code

    statuses = [await guess(n) for n in range(GUESSES_A_MINUTE + 5)]
    assert statuses == [404] * GUESSES_A_MINUTE + [429] * 5
    refused = await endpoint.post(GOOD, "guess")
    assert refused.headers["Retry-After"] == "60"

    async def fails(*_: object) -> None:
        pytest.fail("the store was written to")

    with structlog.testing.capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(endpoint.inbox.store, "write", fails)
        assert set(await asyncio.gather(*(guess(n) for n in range(50)))) == {429}
    assert logs == []
    guessing = asyncio.gather(*(guess(n) for n in range(100)))
    assert (await endpoint.post(GOOD)).status_code == 200
    assert not guessing.done()
    assert set(await guessing) == {429}


async def test_a_refused_guess_is_answered_before_its_body_comes(endpoint: Endpoint) -> None:
    for n in range(GUESSES_A_MINUTE):
        await endpoint.post(GOOD, f"guess-{n}")
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(b"POST /webhooks/guess HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
    assert b" 429 " in await asyncio.wait_for(reader.readline(), 20)
    writer.close()


async def test_the_next_minute_tells_how_often_guesses_were_refused(data_dir: Path) -> None:
    clock, store = MovingClock(), SqliteStore(data_dir / "store.sqlite3")
    inbox = Inbox(store, Changes(store), clock=clock)
    async with hosting(webhook_app(inbox)) as host, http_client() as http:
        await asyncio.wait_for(host.serving.wait(), 20)
        guess = f"http://127.0.0.1:{host.port}/webhooks/guess"
        for _ in range(GUESSES_A_MINUTE + 30):
            await http.post(guess)
        clock.advance(61)
        with structlog.testing.capture_logs() as logs:
            assert (await http.post(guess)).status_code == 404
    assert [(log["in_this_minute"], log["since_the_last_line"]) for log in logs] == [(1, 31)]
    assert (await store.read(facts.counted, facts.WRONG_SECRET))[0] == GUESSES_A_MINUTE + 31
    await inbox.changes.close()
    await store.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post_is_allowed(endpoint: Endpoint, method: str) -> None:
    answer = await endpoint.http.request(method, f"/webhooks/{SECRET}", headers=JSON)
    assert answer.status_code == 405


async def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(endpoint: Endpoint) -> None:
    largest = GOOD[:-1] + b" " * (MAX_BODY - len(GOOD)) + b"}"
    assert len(largest) == MAX_BODY
    assert (await endpoint.post(largest)).status_code == 200
    assert (await endpoint.post(largest + b" ")).status_code == 413
    assert (await endpoint.post(GOOD)).status_code == 200


async def test_a_body_in_chunks_that_grows_too_large_is_refused(endpoint: Endpoint) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 4096 + 2):
            yield b" " * 4096

    url = f"/webhooks/{SECRET}"
    assert (await endpoint.http.post(url, content=chunks(), headers=JSON)).status_code == 413


async def test_a_declared_size_that_is_too_large_is_refused_before_the_body_comes(endpoint: Endpoint) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    head = f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {10**9}\r\n\r\n".encode())
    status = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    assert b"413" in status


async def test_a_body_that_breaks_off_harms_nobody(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        head = f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 500\r\n\r\n".encode() + GOOD[:50])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert (await endpoint.post(GOOD)).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# However it is packed: what is JSON by its content is taken

TEXT = GOOD.decode()
SWEDISH = TEXT.replace("Your code", "Din kod är")
BOUNDARY = "----x"
PARTS = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="id"\r\n\r\n7\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="payload"\r\n\r\n{TEXT}\r\n--{BOUNDARY}--\r\n'
).encode()
FLAT = urlencode(
    {name: value if isinstance(value, str) else json.dumps(value) for name, value in json.loads(GOOD).items()}
)


def raw_deflated(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-zlib.MAX_WBITS)


PACKED: dict[str, tuple[bytes, dict[str, str]]] = {
    "text": (GOOD, {"Content-Type": "text/plain"}),
    "text with a character set": (GOOD, {"Content-Type": "text/plain; charset=utf-8"}),
    "an octet stream": (GOOD, {"Content-Type": "application/octet-stream"}),
    "HTML": (GOOD, {"Content-Type": "text/html"}),
    "an empty type": (GOOD, {"Content-Type": ""}),
    "a type that is none": (GOOD, {"Content-Type": ";;;="}),
    "JSON by another name": (GOOD, {"Content-Type": "application/problem+json"}),
    "JSON in capitals": (GOOD, {"Content-Type": "APPLICATION/JSON; CHARSET=UTF8"}),
    "JSON as a form": (GOOD, {"Content-Type": "application/x-www-form-urlencoded"}),
    "JSON as parts without any": (GOOD, {"Content-Type": "multipart/form-data"}),
    "a field of a form": (urlencode({"id": 7, "payload": TEXT}).encode(), {"Content-Type": FORM}),
    "a field of a form, called text": (urlencode({"payload": TEXT}).encode(), {"Content-Type": "text/plain"}),
    "the name of a field": (urlencode({TEXT: ""}).encode(), {"Content-Type": FORM}),
    "a form in percent code alone": (quote(TEXT).encode(), {"Content-Type": FORM}),
    "an event as a form": (FLAT.encode(), {"Content-Type": FORM}),
    "a part of a form": (PARTS, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}),
    "gzip": (gzip.compress(GOOD), {"Content-Encoding": "gzip"}),
    "gzip in capitals": (gzip.compress(GOOD), {"Content-Encoding": "GZIP"}),
    "gzip by its old name": (gzip.compress(GOOD), {"Content-Encoding": "x-gzip"}),
    "gzip without a label": (gzip.compress(GOOD), {}),
    "gzip called deflate": (gzip.compress(GOOD), {"Content-Encoding": "deflate"}),
    "gzip in two members": (gzip.compress(GOOD[:40]) + gzip.compress(GOOD[40:]), {"Content-Encoding": "gzip"}),
    "gzip with a tail of zeros": (gzip.compress(GOOD) + b"\0" * 8, {"Content-Encoding": "gzip"}),
    "gzip twice": (gzip.compress(gzip.compress(GOOD)), {"Content-Encoding": "gzip, gzip"}),
    "gzip of a form": (
        gzip.compress(urlencode({"payload": TEXT}).encode()),
        {"Content-Encoding": "gzip", "Content-Type": FORM},
    ),
    "deflate": (zlib.compress(GOOD), {"Content-Encoding": "deflate"}),
    "deflate without a label": (zlib.compress(GOOD), {}),
    "deflate without its head": (raw_deflated(GOOD), {"Content-Encoding": "deflate"}),
    "deflate without its head and from a blank": (raw_deflated(b"\n " + GOOD), {"Content-Encoding": "deflate"}),
    "plain, called gzip": (GOOD, {"Content-Encoding": "gzip"}),
    "plain, called deflate": (b"\r\n" + GOOD, {"Content-Encoding": "deflate"}),
    "a form, called deflate": (FLAT.encode(), {"Content-Encoding": "deflate", "Content-Type": FORM}),
    "plain, called br": (GOOD, {"Content-Encoding": "br"}),
    "plain, called UTF-8": (GOOD, {"Content-Encoding": "UTF-8"}),
    "identity": (GOOD, {"Content-Encoding": "identity"}),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, {}),
    "a tail of zeros": (GOOD + b"\0", {}),
    "UTF-16": (TEXT.encode("utf-16"), {"Content-Type": "application/json; charset=utf-16"}),
    "UTF-16 without a mark or label": (TEXT.encode("utf-16-le"), {}),
    "UTF-32": (TEXT.encode("utf-32"), {}),
    "encoded twice": (json.dumps(TEXT).encode(), {}),
}


@pytest.mark.parametrize("levels", [400, 1500, 20_000])
def test_an_event_of_any_depth_is_read(levels: int) -> None:
    body = b'{"event_type": "x.y", "data": ' + b"[" * levels + b"]" * levels + b"}"
    assert object_in(body, MAX_BODY)["event_type"] == "x.y"


@pytest.mark.parametrize("way", PACKED)
async def test_json_is_taken_however_it_is_packed(endpoint: Endpoint, way: str) -> None:
    body, labels = PACKED[way]
    answer = await endpoint.post(body, **labels)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "id": 1, "new": True})
    await endpoint.post(GOOD)
    (event,) = (await endpoint.inbox.store.read(events.after, 0))[0]
    assert (event.type, event.subject, event.code) == ("sms.received", "num-a", "482913")


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("named", ["as it is", "iso-8859-1"])
async def test_letters_survive_their_character_set(endpoint: Endpoint, charset: str, named: str) -> None:
    label = charset if named == "as it is" else named
    labels = {"Content-Type": f"application/json; charset={label}"}
    assert (await endpoint.post(SWEDISH.encode(charset), **labels)).status_code == 200
    (event,) = (await endpoint.inbox.store.read(events.after, 0))[0]
    assert event.text == "Din kod är is 482913"


async def test_json_without_a_type_and_with_an_expectation_is_taken(endpoint: Endpoint) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    head = f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(GOOD)}\r\n\r\n"
    writer.write(head.encode())
    assert b" 100 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.write(GOOD)
    assert b" 200 " in await asyncio.wait_for(reader.readline(), 20)
    writer.close()


async def test_json_in_chunks_is_taken(endpoint: Endpoint) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in gzip.compress(GOOD):
            yield bytes([byte])

    answer = await endpoint.http.post(f"/webhooks/{SECRET}", content=chunks(), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200


BOMB = gzip.compress(b" " * 50_000_000 + GOOD)
REFUSED: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "a bomb": (BOMB, {}, 413, "when decompressed"),
    "a bomb in a bomb": (gzip.compress(BOMB), {}, 413, "when decompressed"),
    "a bomb in many members": (gzip.compress(b" " * 200_000) * 100, {}, 413, "when decompressed"),
    "a bomb of the other kind": (zlib.compress(b" " * 50_000_000), {}, 413, "when decompressed"),
    "gzip that breaks off": (gzip.compress(GOOD)[:-9], {}, 400, "damaged or incomplete"),
    "gzip that breaks off at once": (gzip.compress(GOOD)[:4], {}, 400, "damaged or incomplete"),
    "damaged gzip": (gzip.compress(GOOD)[:20] + b"?" * 50, {}, 400, "damaged or incomplete"),
    "gzip with a wrong sum": (gzip.compress(GOOD)[:-8] + b"\1" * 8, {}, 400, "damaged or incomplete"),
    "deflate that breaks off": (zlib.compress(GOOD)[:-9], {"Content-Encoding": "deflate"}, 400, "incomplete"),
    "headless deflate that breaks off": (raw_deflated(GOOD)[:-9], {"Content-Encoding": "deflate"}, 400, "incomplete"),
    "four layers": (gzip.compress(gzip.compress(gzip.compress(gzip.compress(GOOD)))), {}, 400, "more than 3 times"),
    "brotli": (b"\x8b\x02\x80{}\x03", {"Content-Encoding": "br"}, 415, "gzip or deflate"),
    "a form without JSON": (b"a=1&b=2", {"Content-Type": "application/x-www-form-urlencoded"}, 400, "broken JSON"),
    "many fields": (b"a=1&" * 20_000, {"Content-Type": "application/x-www-form-urlencoded"}, 400, "broken JSON"),
    "parts without JSON": (
        PARTS.replace(b"{", b"("),
        {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        400,
        "",
    ),
    "text": (b"Your code is 482913", {"Content-Type": "text/plain"}, 400, "broken JSON"),
    "nothing": (b"", {}, 400, "an empty body"),
    "nothing, called gzip": (b"", {"Content-Encoding": "gzip"}, 400, "an empty body"),
    "nothing, called deflate": (b"", {"Content-Encoding": "deflate"}, 400, ""),
    "a list": (b"[" + GOOD + b"]", {}, 400, "not an object"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_understood_is_refused_clearly_and_logged(endpoint: Endpoint, what: str) -> None:
    body, labels, status, words = REFUSED[what]
    with structlog.testing.capture_logs() as logs:
        answer = await endpoint.post(body, **labels)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert [(log["event"], log["problem"]) for log in logs] == [("a webhook was refused", answer.json()["error"])]
    for secret in (SECRET, "482913"):
        assert secret not in repr(logs) + answer.text
    assert (await endpoint.post(GOOD)).json() == {"ok": True, "id": 1, "new": True}


HEADERS = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)


@settings(max_examples=150)
@given(
    st.binary(max_size=80) | st.sampled_from([body for body, _ in PACKED.values()]),
    HEADERS
    | st.sampled_from([f"multipart/form-data; boundary={BOUNDARY}", "x; charset=idna", "x; charset*=utf-8''%ff"]),
    HEADERS | st.sampled_from(["gzip", "deflate", "br"]),
    st.integers(0, 60),
    st.binary(max_size=3),
)
def test_any_body_with_any_labels_is_an_object_or_unreadable_and_nothing_else(
    body: bytes, kind: str, coding: str, at: int, change: bytes
) -> None:
    with contextlib.suppress(UnreadableBodyError):
        found = object_in(body[:at] + change + body[at:], MAX_BODY, content_type=kind, content_encoding=coding)
        assert isinstance(event_of(found, 0).type, str)


@settings(max_examples=100)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(), max_size=5))
def test_any_object_is_found_in_any_packing(fields: dict[str, object]) -> None:
    text = json.dumps(fields)
    body = text.encode()
    for packed in (body, gzip.compress(body), zlib.compress(body), text.encode("utf-16"), text.encode("utf-32-be")):
        assert object_in(packed, MAX_BODY) == fields
    for packed in (urlencode({"payload": text}), urlencode({"a": "1", "payload": text}), urlencode({text: ""})):
        assert object_in(packed.encode(), MAX_BODY, content_type=FORM) == fields
    assert object_in(raw_deflated(body), MAX_BODY, content_encoding="deflate") == fields


async def test_a_thousand_malformed_bodies_leave_the_receiver_working(endpoint: Endpoint) -> None:
    spoilt = [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"a": NaN}', b"[" * 5000, b"<html>", GOOD[:-1], b'"x"']

    async def some(bodies: list[bytes]) -> set[int]:
        """On one connection, without the work of an HTTP client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        statuses: set[int] = set()
        for body in bodies:
            head = f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            statuses.add(int(answer.split()[1]))
            await reader.readexactly(int(answer.partition("content-length: ")[2].partition("\r\n")[0]))
        writer.close()
        await writer.wait_closed()
        return statuses

    statuses = await asyncio.gather(*(some(spoilt * 10) for _ in range(10)))
    assert statuses == [{400}] * 10
    assert (await endpoint.post(GOOD)).json() == {"ok": True, "id": 1, "new": True}


async def test_an_unknown_event_is_taken(endpoint: Endpoint) -> None:
    body = json.dumps({"event_type": "number.exploded", "data": {"x": 1}}).encode()
    assert (await endpoint.post(body)).status_code == 200


async def test_a_store_that_fails_asks_for_the_event_again_and_takes_it_then(endpoint: Endpoint) -> None:
    await endpoint.inbox.store.write(lambda c: None)
    other = sqlite3.connect(endpoint.store_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    locked = await endpoint.post(GOOD)
    assert (locked.status_code, locked.json()["ok"]) == (503, False)
    assert "482913" not in locked.text
    wrong = await endpoint.post(GOOD, "wrong")
    assert wrong.status_code == 404, "not counted, but answered"
    other.execute("ROLLBACK")
    other.close()
    assert (await endpoint.post(GOOD)).json() == {"ok": True, "id": 1, "new": True}


async def test_an_event_that_cannot_be_stored_is_logged_without_a_secret(endpoint: Endpoint) -> None:
    await endpoint.inbox.store.write(lambda c: None)
    with contextlib.closing(sqlite3.connect(endpoint.store_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with structlog.testing.capture_logs() as logs:
            assert (await endpoint.post(GOOD)).status_code == 503
    (told,) = [log for log in logs if log["event"].startswith("event not stored")]
    assert (told["log_level"], told["problem"]) == ("error", "the store is locked by another program")
    for secret in (SECRET, "482913", "num-a"):
        assert secret not in repr(logs)


async def test_a_full_disk_asks_for_events_again_and_takes_them_once_there_is_room(endpoint: Endpoint) -> None:
    store = endpoint.inbox.store
    assert (await endpoint.post(sms_webhook("num-a", "Your code is 111111", "111111"))).status_code == 200
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1"))  # as large as it is, and no larger
    bodies = [sms_webhook("num-a", f"{'x' * 4000} Your code is {n}", str(n)) for n in range(222220, 222240)]
    with structlog.testing.capture_logs() as logs:
        answers = [await endpoint.post(body) for body in bodies]
    assert answers[-1].status_code == 503
    assert answers[-1].json() == {"ok": False, "error": "not stored, send it again"}
    assert "the disk is full" in [log.get("problem") for log in logs]
    assert (await endpoint.codes())[-1] == "111111", "what was acknowledged is there"
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1000000"))
    refused = [body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 503]
    again = [await endpoint.post(body) for body in refused]
    assert [(answer.status_code, answer.json()["new"]) for answer in again] == [(200, True)] * len(refused)


async def test_many_deliveries_at_once_are_all_kept_once(endpoint: Endpoint) -> None:
    bodies = [
        sms_webhook("num-a", f"Your code is {1000 + n // 2}", at=f"2026-05-22T12:00:{n // 2:02}Z") for n in range(100)
    ]
    answers = await asyncio.gather(*map(endpoint.post, bodies))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["new"] for answer in answers) == 50
    assert (await endpoint.inbox.store.read(events.after, 0))[1] == 50


# Who serves


def naming(name: str) -> ASGIApp:
    return PlainTextResponse(name)


async def who(port: int) -> str | None:
    try:
        async with http_client(timeout=1) as http:
            return (await http.get(f"http://127.0.0.1:{port}/")).text
    except httpx.TransportError:
        return None


async def test_the_first_host_serves_and_the_next_takes_over_within_two_seconds() -> None:
    port = free_port()
    async with AsyncExitStack() as others:
        async with hosting(naming("first"), port) as first:
            await asyncio.wait_for(first.serving.wait(), 20)
            second = await others.enter_async_context(hosting(naming("second"), port))
            assert await who(port) == "first"
            assert not second.serving.is_set()
        async with within(2):
            await asyncio.wait_for(second.serving.wait(), 20)
        assert await who(port) == "second"


async def test_a_host_that_cannot_listen_says_why_once_and_tries_again() -> None:
    clock = MovingClock()
    host = Listener(naming("nowhere"), "192.0.2.1", free_port(), clock=clock)
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(host.run())
        for _ in range(4):
            await asyncio.wait_for(host.tried.wait(), 20)
            host.tried.clear()
            clock.advance(2 * TAKE_OVER_SECONDS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [(log["log_level"], log["event"]) for log in logs] == [
        ("error", "the local web app cannot be served; trying again")
    ]
    assert not host.serving.is_set()


async def test_answers_leave_at_once_instead_of_waiting_for_the_acknowledgement_of_their_heads() -> None:
    # asyncio sets TCP_NODELAY on connections of sockets that name their protocol; without it each answer on a
    # kept-alive connection may take 40 ms.
    delays: list[int] = []

    class Listening(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connection = transport.get_extra_info("socket")
            delays.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    listener = listen("127.0.0.1", 0)
    server = await asyncio.get_running_loop().create_server(Listening, sock=listener)
    _, writer = await asyncio.open_connection(*listener.getsockname())
    await until(lambda: delays, seconds=20, what="the connection")
    writer.close()
    server.close()
    await server.wait_closed()
    assert delays == [1]


async def test_port_0_takes_any_free_one_and_keeps_it() -> None:
    async with hosting(naming("ours")) as host:
        await asyncio.wait_for(host.serving.wait(), 20)
        assert host.port != 0
        assert await who(host.port) == "ours"


async def test_a_stranger_on_the_port_is_waited_out() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        async with hosting(naming("ours"), port) as host:
            await asyncio.sleep(0.05)
            assert not host.serving.is_set()
    async with hosting(naming("ours"), port) as host:
        await asyncio.wait_for(host.serving.wait(), 20)
        assert await until(lambda: who(port), seconds=20, what="an answer") == "ours"


async def test_a_host_that_is_stopped_leaves_the_port_free_at_once() -> None:
    port = free_port()
    async with hosting(naming("ours"), port) as host:
        await asyncio.wait_for(host.serving.wait(), 20)
        assert await who(port) == "ours"
    socket.create_server(("127.0.0.1", port), reuse_port=False).close()


def test_a_minute_of_guesses_begins_with_the_first_and_lasts_sixty_seconds() -> None:
    clock = MovingClock(speed=0)
    guesses = Guesses(clock)
    assert [guesses.add(), guesses.add()] == [1, 2]
    clock.advance(59)
    assert guesses.add() == 3
    clock.advance(1)
    assert guesses.add() == 1
