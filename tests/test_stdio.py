"""Standard input and output: every line is answered or logged, and a client that is gone ends the server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import until
from hypothesis import example, given
from hypothesis import strategies as st
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)

from piv_mcp.server import lines
from piv_mcp.server.lines import MAX_LINE_BYTES, Refused, read_line
from piv_mcp.server.stdio import LOGGED_ONE_BY_ONE, REFUSALS_AHEAD

FLOOD = 20_000
BOM = b"\xef\xbb\xbf"
SECRET_WORD = "hunter2"

Json = dict[str, Any]


def request(id_: object, method: str = "ping", **params: object) -> Json:
    return {"jsonrpc": "2.0", "id": id_, "method": method, **({"params": params} if params else {})}


def initialize(version: str = "2025-11-25") -> Json:
    client = {"name": "test", "version": "1"}
    return request("start", "initialize", protocolVersion=version, capabilities={}, clientInfo=client)


ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def line_of(message: object) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"


def nested(levels: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":"deep","method":"ping","params":{"_":%s}}\n' % (b"[" * levels + b"]" * levels)


# What a line is

APPROVED = b'{"action":"accept","content":{"approve":true}}'

REQUESTS: list[tuple[str, object, int, object]] = [
    ("no JSON", f"{SECRET_WORD} = 1\n".encode(), PARSE_ERROR, None),
    ("half a message", b'{"jsonrpc":"2.0","id":1,"method":"ping"\n', PARSE_ERROR, None),
    ("two messages", line_of(request(1)).strip() * 2, PARSE_ERROR, None),
    ("a mark alone", BOM + b"\n", PARSE_ERROR, None),
    ("UTF-16", json.dumps(request(1)).encode("utf-16"), PARSE_ERROR, None),
    ("UTF-16 without a mark", json.dumps(request(1)).encode("utf-16-le"), PARSE_ERROR, None),
    ("a huge number", b'{"jsonrpc":"2.0","id":%s,"method":"ping"}' % (b"1" * 5000), INVALID_REQUEST, None),
    ("an empty object", {}, INVALID_REQUEST, None),
    ("a text", SECRET_WORD, INVALID_REQUEST, None),
    ("null", None, INVALID_REQUEST, None),
    ("an empty batch", [], INVALID_REQUEST, None),
    ("a batch", [request(1), request(2)], INVALID_REQUEST, None),
    ("nested a little too deeply", nested(1_000), INVALID_REQUEST, None),
    ("nested far too deeply", nested(100_000), INVALID_REQUEST, None),
    ("an id of null", request(None), INVALID_REQUEST, None),
    ("an id with a fraction", request(1.5), INVALID_REQUEST, None),
    ("an id out of range", b'{"jsonrpc":"2.0","id":1e400,"method":"ping"}', INVALID_REQUEST, None),
    ("an id of true", request(True), INVALID_REQUEST, None),
    ("an id of an object", request({"a": SECRET_WORD}), INVALID_REQUEST, None),
    ("an id in disguise", b'{"jsonrpc":"2.0","\\u0069d":null,"method":"ping"}', INVALID_REQUEST, None),
    ("no version", {"id": "a", "method": "ping"}, INVALID_REQUEST, "a"),
    ("another version", {**request("b"), "jsonrpc": "1.0"}, INVALID_REQUEST, "b"),
    ("no method", {"jsonrpc": "2.0", "id": 7}, INVALID_REQUEST, 7),
    ("a method that is no text", {**request(8), "method": 5}, INVALID_REQUEST, 8),
    ("params of a text", {**request(9), "params": SECRET_WORD}, INVALID_REQUEST, 9),
    ("params by position", {**request("c"), "params": [SECRET_WORD]}, INVALID_PARAMS, "c"),
    (
        "a request that is an error as well",
        {**request("d"), "error": {"code": 1, "message": "x"}},
        INVALID_REQUEST,
        "d",
    ),
    ("a notification of another version", {"method": "ping"}, INVALID_REQUEST, None),
    (
        "an answer and another in a request",
        b'{"jsonrpc":"2.0","id":"e","method":"x","params":{"inputResponses":{"a":{"action":"decline",%s}}}'
        % APPROVED[1:],
        INVALID_PARAMS,
        "e",
    ),
]
"""(what, the line, the code of its answer, the id of its answer)"""

UNANSWERED: list[tuple[str, object]] = [
    ("a notification with params by position", {"jsonrpc": "2.0", "method": "x", "params": [SECRET_WORD]}),
    ("a result that is no object", {"jsonrpc": "2.0", "id": 77, "result": SECRET_WORD}),
    ("a result without a usable id", {"jsonrpc": "2.0", "id": None, "result": {}}),
    ("an error that is a text", {"jsonrpc": "2.0", "id": 77, "error": SECRET_WORD}),
    ("an error without an id", {"jsonrpc": "2.0", "error": {"code": 1, "message": SECRET_WORD}}),
    ("a response of another version", {"id": 77, "result": {}}),
    ("an approval and an error", b'{"jsonrpc":"2.0","id":1,"result":%s,"error":"x"}' % APPROVED),
    (
        "an approval and a good error",
        b'{"jsonrpc":"2.0","id":1,"result":%s,"error":{"code":1,"message":""}}' % APPROVED,
    ),
    ("two results", b'{"jsonrpc":"2.0","id":1,"result":{"action":"decline"},"result":%s}' % APPROVED),
    ("two ids", b'{"jsonrpc":"2.0","id":2,"id":1,"result":%s}' % APPROVED),
    ("two actions", b'{"jsonrpc":"2.0","id":1,"result":{"action":"decline",%s}' % APPROVED[1:]),
    ("a yes and a no", b'{"jsonrpc":"2.0","id":1,"result":%s}' % APPROVED.replace(b"true", b'false,"approve":true')),
    ("a key in disguise", b'{"jsonrpc":"2.0","id":1,"result":{"\\u0061ction":"decline",%s}' % APPROVED[1:]),
]
"""To answer a notification is against JSON-RPC, and two sides that answer responses never end."""


@pytest.mark.parametrize(("line", "code", "id_"), [case[1:] for case in REQUESTS], ids=[case[0] for case in REQUESTS])
def test_what_is_no_request_is_refused_with_the_code_of_json_rpc(line: object, code: int, id_: object) -> None:
    (refused,) = read_line(line_of(line))
    assert isinstance(refused, Refused)
    assert refused.answer is not None
    assert (refused.answer.error.code, refused.answer.id) == (code, id_)
    assert SECRET_WORD not in refused.reason


@pytest.mark.parametrize("line", [case[1] for case in UNANSWERED], ids=[case[0] for case in UNANSWERED])
def test_a_response_or_notification_is_never_answered(line: object) -> None:
    (refused,) = read_line(line_of(line))
    assert isinstance(refused, Refused)
    assert refused.answer is None
    assert SECRET_WORD not in refused.reason


@pytest.mark.parametrize("line", [b"", b"\n", b" \t\r\n"])
def test_a_blank_line_is_nothing(line: bytes) -> None:
    assert read_line(line) == []


def test_a_line_that_is_too_long_is_refused_before_it_is_read() -> None:
    (refused,) = read_line(b'{"a":"' + b"x" * MAX_LINE_BYTES)
    assert isinstance(refused, Refused)
    assert str(MAX_LINE_BYTES) in refused.reason


@pytest.mark.parametrize(
    "line",
    [
        BOM + line_of(request(1)),
        b"  " + line_of(request(1)).replace(b"\n", b" \r\n"),
        b'{"jsonrpc":"2.0","id":0,"id":1,"method":"ping"}',
        nested(300).replace(b'"deep"', b"1"),
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xff\xfe"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\ud83d"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}',
    ],
)
def test_a_request_is_read_whatever_its_form(line: bytes) -> None:
    (message,) = read_line(line)
    assert isinstance(message, JSONRPCRequest)
    assert message.id == 1


def test_a_notification_may_speak_of_an_id() -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/x", "params": {"id": None}}
    (message,) = read_line(line_of(note))
    assert message == JSONRPCNotification.model_validate(note)


@pytest.mark.parametrize("beside", [b"", b',"error":null', b',"_":1'])
def test_an_answer_with_a_field_that_says_nothing_is_taken(beside: bytes) -> None:
    (message,) = read_line(b'{"jsonrpc":"2.0","id":1,"result":%s%s}' % (APPROVED, beside))
    assert message == JSONRPCResponse(jsonrpc="2.0", id=1, result=json.loads(APPROVED))


def test_a_batch_is_the_messages_in_it_where_batches_are_part_of_the_protocol() -> None:
    first, no_message, last = read_line(line_of([request(1), 5, request(2)]), batches=True)
    assert isinstance(first, JSONRPCRequest)
    assert isinstance(last, JSONRPCRequest)
    assert (first.id, last.id) == (1, 2)
    assert isinstance(no_message, Refused)


def test_a_good_message_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(lines, "json")
    for message in (request(1, id=None), {"jsonrpc": "2.0", "method": "notifications/initialized"}):
        (read,) = read_line(line_of(message))
        assert not isinstance(read, Refused)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | values,
        "id": st.integers() | st.text() | values,
        "method": st.text() | values,
        "params": st.dictionaries(st.text(), values, max_size=2) | values,
        "result": st.dictionaries(st.text(), values, max_size=1) | values,
        "error": st.just({"code": 1, "message": "x"}) | values,
    },
)
any_json = (envelopes | st.lists(envelopes, max_size=3) | values).map(lambda value: json.dumps(value).encode())


@given(line=st.binary() | any_json, batches=st.booleans())
@example(line=b'{"jsonrpc":"2.0","id":"\\ud83d","method":"x","params":1}', batches=False)
def test_whatever_a_line_is_it_is_a_message_or_refused_with_an_answer_that_is_one(line: bytes, batches: bool) -> None:
    for item in read_line(line, batches=batches):
        if not isinstance(item, Refused):
            continue
        assert item.reason
        if item.answer is not None:
            sent = item.answer.model_dump_json(by_alias=True, exclude_unset=True)
            assert jsonrpc_message_adapter.validate_json(sent) == item.answer
            assert isinstance(item.answer, JSONRPCError)
            assert "id" in json.loads(sent)


@given(envelopes)
def test_a_request_with_an_id_is_never_left_without_an_answer(message: Json) -> None:
    (item,) = read_line(json.dumps(message).encode())
    if "method" in message and type(message.get("id")) in (str, int):
        assert isinstance(item, JSONRPCRequest) or (isinstance(item, Refused) and item.answer is not None)


# Over real pipes


@dataclass
class Server:
    """`piv-mcp` over the sandbox, and the lines that it has written."""

    process: "subprocess.Popen[bytes]"
    log: Path
    heard: list[Json] = field(default_factory=list[Json])

    def say(self, *messages: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(map(line_of, messages)))
        self.process.stdin.flush()

    def hear(self, id_: object) -> Json:
        """The answer with this id. Those before it are in `heard`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == id_:
                return message
            self.heard.append(message)
        raise AssertionError(f"no answer to {id_}: {self.log.read_text()}")

    def rest(self) -> list[Json]:
        """The messages until the server closes its output."""
        assert self.process.stdout is not None
        return [json.loads(line) for line in self.process.stdout]

    def say_no_more(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def terminate(self) -> None:
        self.process.terminate()

    def codes(self) -> list[tuple[int, object]]:
        """(code, id) of the errors that were heard, which are forgotten then."""
        found = [(message["error"]["code"], message["id"]) for message in self.heard]
        self.heard.clear()
        return found

    def logged(self, event: str) -> list[Json]:
        return [entry for entry in map(json.loads, self.log.read_text().splitlines()) if entry["event"] == event]

    def status(self) -> int:
        """The exit status. A server must end by itself and say nothing of its own inside."""
        status = self.process.wait(20)
        assert "Traceback" not in self.log.read_text()
        return status


@contextmanager
def serving(
    tmp_path: Path, stdout: int = subprocess.PIPE, redirections: str = "", before: str = ""
) -> Generator[Server]:
    """`redirections` are of the shell, and `before` is Python that runs first with the same standard files."""
    log = tmp_path / "server.log"
    environment = {**os.environ, "PIV_SANDBOX": "1", "PIV_LOG_FORMAT": "json"}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"'{sys.executable}' -c '{before}'; exec '{sys.executable}' -m piv_mcp {redirections}"],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env=environment,
        )
    with process:
        try:
            yield Server(process, log)
        finally:
            process.kill()


def open_handshake(server: Server, version: str = "2025-11-25") -> None:
    server.say(BOM + line_of(initialize(version)))
    assert server.hear("start")["result"]["protocolVersion"] == version
    server.say({"jsonrpc": "2.0", "method": "notifications/initialized"})


def open_modern(server: Server) -> None:
    server.say(BOM + line_of(request("start", "server/discover", _meta=ENVELOPE)))
    assert "2026-07-28" in server.hear("start")["result"]["supportedVersions"]


async def test_a_server_answers_or_logs_every_line_and_goes_on(tmp_path: Path) -> None:
    whole = [case for case in REQUESTS if not isinstance(case[1], bytes) or case[1].count(b"\n") <= 1]
    with serving(tmp_path) as server:
        server.say(
            request("early", "tools/list"), request("unknown", "no/such"), {"jsonrpc": "2.0", "method": "no/such"}
        )
        early = server.hear("early")["error"]
        assert early["code"] == INVALID_PARAMS
        assert "initialize" in early["message"]
        assert server.hear("unknown")["error"]["code"] == METHOD_NOT_FOUND
        server.say(request("first"))
        assert server.hear("first")["result"] == {}

        open_handshake(server)
        server.say(*(line_of(case[1]).rstrip(b"\n") + b"\n" for case in whole), request("after"))
        server.hear("after")
        assert server.codes() == [case[2:] for case in whole]
        server.say(*(line_of(case[1]).rstrip(b"\n") + b"\n" for case in UNANSWERED), b"\n", request("after these"))
        server.hear("after these")
        assert server.codes() == []

        # A client that writes on and on before it reads: the lines that are no requests are left unanswered, at last.
        server.say(b"no JSON\n" * FLOOD, {**request("a request"), "params": "x"}, request("after the flood"))

        def flooded() -> bool:
            return any(entry["refused_so_far"] >= 16_384 for entry in server.logged("a message was refused"))

        await until(flooded, seconds=60, what="the flood in the log")
        server.hear("after the flood")
        codes = server.codes()
        assert codes.pop() == (INVALID_REQUEST, "a request")
        assert set(codes) == {(PARSE_ERROR, None)}
        assert REFUSALS_AHEAD <= len(codes) < FLOOD

        server.say_no_more()
        assert server.status() == 0
        said = server.log.read_text()
        assert SECRET_WORD not in said
        assert len(server.logged("a message was refused")) < LOGGED_ONE_BY_ONE + 15
        (rest,) = server.logged("more messages were refused than logged")
        assert rest["refused"] == len(whole) + len(UNANSWERED) + FLOOD + 1
        assert rest["left_unanswered"] == FLOOD - len(codes)


def test_a_client_of_today_is_answered_after_bad_lines_before_its_first_request(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.say(*[b"no JSON\n"] * 20, request(None, _meta=ENVELOPE))
        open_modern(server)
        assert server.codes() == [(PARSE_ERROR, None)] * 20 + [(INVALID_REQUEST, None)]
        server.say([request(1, "tools/list", _meta=ENVELOPE)], request(2, "no/such", _meta=ENVELOPE))
        assert server.hear(2)["error"]["code"] == METHOD_NOT_FOUND
        assert server.codes() == [(INVALID_REQUEST, None)]
        server.say(request(3, "tools/call", _meta=ENVELOPE, arguments={"text": SECRET_WORD}))
        error = server.hear(3)["error"]
        assert error["code"] == INVALID_PARAMS
        assert error["message"] == "Invalid request parameters of tools/call, missing or wrong: params.name"


def test_a_cursor_is_refused_where_it_could_have_been_one(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.say(request("early", "tools/list", cursor="x"))
        assert "initialize" in server.hear("early")["error"]["message"]
        open_handshake(server)
        server.say(request("no method", "no/such/list", cursor="x"), request("empty", "tools/list", cursor=""))
        assert server.hear("no method")["error"]["code"] == METHOD_NOT_FOUND
        assert server.hear("empty")["result"]["tools"]
        for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
            server.say(request(method, method, cursor="x"))
            error = server.hear(method)["error"]
            assert (error["code"], error["message"][:14]) == (INVALID_PARAMS, "Unknown cursor")


def test_a_batch_is_answered_in_the_only_version_that_has_them(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        open_handshake(server, lines.BATCH_VERSION)
        account = request(2, "tools/call", name="get_account", arguments={})
        server.say([request(1), 5, {"jsonrpc": "2.0", "method": "notifications/x"}, account], [])
        assert server.hear(2)["result"]["structuredContent"]["balance"] == "150.50"
        refusals = [message for message in server.heard if message["id"] is None]
        assert [message["id"] for message in server.heard if message not in refusals] == [1]
        assert {message["error"]["code"] for message in refusals} == {INVALID_REQUEST}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_programs_that_a_server_starts_get_neither_its_input_nor_its_output(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        open_handshake(server)
        given = [os.readlink(f"/proc/{server.process.pid}/fd/{descriptor}") for descriptor in range(3)]
        assert given == [os.devnull, str(server.log), str(server.log)]


def test_a_server_without_standard_error_answers_and_ends(tmp_path: Path) -> None:
    with serving(tmp_path, redirections="2>&-") as server:
        server.say(b"no JSON\n", request(1))
        assert server.hear(1)["result"] == {}
        assert server.codes() == [(PARSE_ERROR, None)]
        server.say_no_more()
        assert server.status() == 0


def wait_for_a_code(server: Server) -> None:
    server.say(request("numbers", "tools/call", name="list_numbers", arguments={}))
    (number, *_) = server.hear("numbers")["result"]["structuredContent"]["numbers"]
    server.say(request("wait", "tools/call", name="wait_for_code", arguments={"number": number["piv_num_id"]}))
    server.say(request("last"))
    server.hear("last")


def fill_the_pipe(server: Server) -> None:
    """Ask for more than a pipe holds, and begin to read."""
    server.say(*(request(id_, "tools/list") for id_ in range(20)), request("last"))
    server.hear(0)


@pytest.mark.parametrize("busy", [wait_for_a_code, fill_the_pipe], ids=["a call waits", "an answer is being written"])
def test_a_client_that_closes_only_standard_output_ends_the_server(
    busy: Callable[[Server], None], tmp_path: Path
) -> None:
    with serving(tmp_path) as server:
        open_handshake(server)
        busy(server)
        assert server.process.stdout is not None
        server.process.stdout.close()
        assert server.status() == 0


def test_an_output_that_takes_nothing_ends_the_server_and_the_log_says_why(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, serving(tmp_path, full.fileno()) as server:
        server.say(initialize())
        assert server.status() == 0
        (entry,) = server.logged("the client can be told nothing more")
        assert "No space left" in entry["problem"]


def test_a_client_that_reads_nothing_and_closes_standard_input_ends_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        open_handshake(server)
        fill_the_pipe(server)
        server.say_no_more()
        assert server.status() == 0
        (entry,) = server.logged("the client did not read its last messages")
        assert 10 < entry["lost"] <= 20


def test_a_client_that_closes_standard_input_and_reads_late_gets_every_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        open_handshake(server)
        wait_for_a_code(server)
        server.say(*(request(id_, "tools/list") for id_ in range(110)), {**request("bad"), "params": "x"})
        server.say_no_more()
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(2)
        answers = {message["id"]: message for message in server.rest()}
        assert answers.pop("bad")["error"]["code"] == INVALID_REQUEST
        assert answers.pop("wait")["error"]["code"] == CONNECTION_CLOSED
        assert answers.keys() == set(range(110))
        assert server.status() == 0


def test_a_client_that_writes_all_and_closes_standard_input_gets_every_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        account = request("account", "tools/call", name="get_account", arguments={})
        server.say(initialize(), *(request(id_) for id_ in range(3_000)), account)
        server.say_no_more()
        answers = {message["id"]: message for message in server.rest()}
        assert answers.keys() == {"start", "account", *range(3_000)}
        assert all("result" in answer for answer in answers.values())
        assert server.status() == 0


def test_standard_files_that_do_not_block_serve_as_well(tmp_path: Path) -> None:
    with serving(tmp_path, before="import os; os.set_blocking(0, False); os.set_blocking(1, False)") as server:
        open_handshake(server)
        fill_the_pipe(server)
        server.hear("last")
        server.say(request("and on"))
        server.hear("and on")
        server.say_no_more()
        assert server.status() == 0


@pytest.mark.parametrize("end", [Server.say_no_more, Server.terminate], ids=["end of input", "signal"])
def test_a_log_that_nobody_reads_holds_nothing_up(end: Callable[[Server], None], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "errors")
    reader = os.open(tmp_path / "errors", os.O_RDWR | os.O_NONBLOCK)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(reader, b"x" * size)
    with serving(tmp_path, redirections=f"2>'{tmp_path}/errors'") as server:
        open_handshake(server)
        server.say(b"no JSON\n", request("account", "tools/call", name="get_account", arguments={}), request("last"))
        assert "result" in server.hear("account")
        end(server)
        assert server.status() == 0
    os.close(reader)


def test_an_answer_that_is_none_of_mcp_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_CONFIRM_WAIT", "5")
    monkeypatch.setenv("PIV_CONFIRM_CHANNEL", "elicit")
    with serving(tmp_path) as server:
        start = initialize()
        start["params"]["capabilities"] = {"elicitation": {}}
        server.say(start, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        number = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
        server.say(request("buy", "tools/call", name="purchase_number", arguments=number))
        asked = server.hear(1)
        assert asked["method"] == "elicitation/create"
        server.say({"jsonrpc": "2.0", "id": 1, "result": {"action": "Accept", "content": {"approve": True}}})
        said = json.dumps(server.hear("buy"))
        assert "counts for nothing" in said
        assert "INTERNAL_ERROR" not in said
