"""Properties that hold for any response, any webhook body, any text and any JSON."""

import json
import traceback
from typing import Any

from api_client import KEY
from hypothesis import given
from hypothesis import strategies as st

from piv_mcp import errors
from piv_mcp.api import account, numbers, whites
from piv_mcp.api.endpoint import Endpoint
from piv_mcp.api.events import parse_event, piv_num_ids
from piv_mcp.api.quoting import clean
from piv_mcp.api.response import ApiResponse, Call, understand
from piv_mcp.api.text import parse_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(KEY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
fields = st.sampled_from(["success", "data", "error", "numbers", "cost", "piv_num_id", "code", "message", "items"])
envelopes = st.dictionaries(
    fields, st.booleans() | json_values | st.dictionaries(fields, json_values, max_size=4), max_size=5
)
bodies = st.binary(max_size=200) | (json_values | envelopes).map(lambda value: json.dumps(value).encode())
endpoints = st.sampled_from([account.GET, numbers.LIST, numbers.PURCHASE, numbers.VERIFY, whites.CONFIG, numbers.SMS])


def _clean(text: str, limit: int) -> str:
    return clean(text, secret=KEY, limit=limit)


@given(endpoint=endpoints, status=st.integers(200, 599), body=bodies)
def test_any_answer_is_a_value_or_one_of_our_errors(endpoint: Endpoint[Any], status: int, body: bytes) -> None:
    call = Call(endpoint, endpoint.template, {}, None)
    caught = _failure(call, ApiResponse(status, None, body))
    if caught is None:
        assert 200 <= status < 300
        return
    assert KEY not in f"{caught!s} {caught!r} {caught.code} {''.join(traceback.format_exception(caught))}"
    assert str(caught).isprintable()
    assert len(str(caught)) < 800
    refused = 400 <= status < 500 or caught.code in errors.REFUNDED
    assert caught.effect == "none" or endpoint.writes
    assert caught.effect == "unknown" or refused or not endpoint.writes


def _failure(call: Call[Any], answer: ApiResponse) -> errors.ApiError | None:
    try:
        understand(call, answer, _clean)
    except errors.ApiError as caught:
        return caught
    return None


@given(st.binary(max_size=300) | envelopes.map(lambda value: json.dumps(value).encode()))
def test_any_webhook_body_is_an_event_or_malformed(body: bytes) -> None:
    try:
        event = parse_event(body)
    except errors.MalformedEventError:
        return
    assert isinstance(piv_num_ids(event.fields), tuple)
    assert event.data or event.problem


@given(st.text(max_size=300), st.integers(0, 10))
def test_cleaned_text_is_one_printable_line_without_the_key(text: str, at: int) -> None:
    hidden = text[:at] + "\x00".join(KEY) + text[at:] + KEY
    for limit in (20, 200):
        line = clean(hidden, secret=KEY, limit=limit)
        assert len(line) <= limit
        assert line.isprintable()
        assert KEY not in line


@given(json_values)
def test_parsed_json_can_always_be_stored(value: Any) -> None:
    try:
        parsed = parse_json(json.dumps([value]).encode())
    except ValueError:
        return
    json.dumps(parsed, default=str, ensure_ascii=False).encode()
