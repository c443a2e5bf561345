"""Webhook events: every example of the reference, and bodies that differ from it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from api_examples import EVENT_EXAMPLES, assert_holds

from piv_mcp import errors
from piv_mcp.api.events import EVENTS, OURS, SmsReceived, parse_event, piv_num_ids
from piv_mcp.api.text import parse_json


@pytest.mark.parametrize("name", sorted(EVENT_EXAMPLES))
def test_example_event_is_parsed_without_loss(name: str) -> None:
    event = parse_event(EVENT_EXAMPLES[name].encode())
    assert (event.event_type, event.problem) == (name, None)
    assert event.timestamp == datetime(2026, 5, 22, 12, 34, 56, tzinfo=UTC)
    example = parse_json(EVENT_EXAMPLES[name].encode())
    assert event.raw == example
    assert_holds(example["data"], event.data)


def test_all_eleven_events_have_an_example() -> None:
    assert set(EVENTS) - OURS == set(EVENT_EXAMPLES)
    assert len(EVENT_EXAMPLES) == 11


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("sms.received", ("vzPA1-kHKSg-EAL7e-Jqd3o",)),
        ("verify.failed", ("vzPA1-kHKSg-EAL7e-Jqd3o",)),
        ("number.restore_completed", ("vzPA1-kHKSg-EAL7e-Jqd3o", "abc12-defgh-ijklm-nopqr")),
        ("domain.failed", ()),
    ],
)
def test_an_event_names_its_numbers(name: str, ids: tuple[str, ...]) -> None:
    assert piv_num_ids(parse_event(EVENT_EXAMPLES[name].encode()).fields) == ids


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            {"event_type": "sms.deleted", "timestamp": "2026-05-22T12:34:56Z", "data": {"piv_num_id": "n"}},
            "reference",
        ),
        ({"event_type": "sms.received", "data": {"piv_num_id": None, "text": "123"}}, "data.piv_num_id"),
        ({"event_type": "sms.received", "data": "text"}, "data"),
        ({"event_type": "sms.received"}, "data"),
        ({"event_type": 5}, "event_type"),
        ({}, "event_type"),
    ],
)
def test_an_event_of_unknown_type_or_shape_is_kept_and_flagged(body: dict[str, Any], problem: str) -> None:
    event = parse_event(json.dumps(body).encode())
    assert event.data is None
    assert event.raw == body
    assert problem in (event.problem or "")


def test_an_unknown_event_still_names_its_number_and_time() -> None:
    event = parse_event({"event_type": "x", "timestamp": "2026-05-22T12:34:56Z", "data": {"piv_num_id": "n"}})
    assert piv_num_ids(event.fields) == ("n",)
    assert event.timestamp == datetime(2026, 5, 22, 12, 34, 56, tzinfo=UTC)


def test_a_known_event_without_a_valid_time_is_flagged_and_known() -> None:
    event = parse_event({"event_type": "sms.received", "timestamp": "now", "data": {"piv_num_id": "n", "text": "1"}})
    assert isinstance(event.data, SmsReceived)
    assert event.timestamp is None
    assert event.problem == "timestamp is not a time"


@pytest.mark.parametrize("place", ["timestamp", "received_at"])
def test_a_time_too_large_for_any_clock_loses_no_event(place: str) -> None:
    data: dict[str, Any] = {"piv_num_id": "n", "code": "1234", "received_at": "2026-05-22T12:34:56Z"}
    body: dict[str, Any] = {"event_type": "sms.received", "timestamp": "2026-05-22T12:34:56Z", "data": data}
    (body if place == "timestamp" else data)[place] = 10**350
    event = parse_event(json.dumps(body).encode())
    assert isinstance(event.data, SmsReceived)
    assert event.data.code == "1234"
    assert getattr(event if place == "timestamp" else event.data, place) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b"<html>", b'{"a":', b'{"a": NaN}', b"[" * 100_000])
def test_only_a_body_that_is_no_json_object_is_an_error(body: bytes) -> None:
    with pytest.raises(errors.MalformedEventError):
        parse_event(body)


def test_garbled_characters_lose_no_event() -> None:
    body = rb'{"event_type": "sms.received", "data": {"piv_num_id": "n", "text": "a\ud83d\ud83d\ude00"}}'
    event = parse_event(body)
    assert isinstance(event.data, SmsReceived)
    assert event.data.text == "a�😀"
