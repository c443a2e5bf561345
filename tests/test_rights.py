"""What an agent is shown, tried from outside: every tool, resource, completion and prompt, with all that there is.

All that is not the agent's own has a mark in it. No answer may hold one, and what is not its own answers word for word
as what does not exist.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from examples import example
from harness import ERAS, Connected, Era, connected, text_of
from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference, ResourceTemplateReference, TextResourceContents, Tool
from team import Team, team

from piv_mcp.api.numbers import RestoreNumbers
from piv_mcp.api.rate_limit import Priority
from piv_mcp.errors import NotFoundError
from piv_mcp.inbox.parse import event_of
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.server import catalog
from piv_mcp.server.resources import RESOURCES
from piv_mcp.services import Services
from piv_mcp.store import pending
from piv_mcp.store.rate_limit import SharedLimiter

MONTH = timedelta(days=30)
KINDS = ("number", "phone", "name", "text", "code", "message", "entry")
"""What of a thing a caller can name."""

NO_ENTRY = "sp_ffffffffff"


@dataclass
class Marked:
    """A number with what belongs to it: of each kind of thing what names it."""

    number: str
    phone: str
    name: str
    text: str
    code: str
    message: str
    entry: str = NO_ENTRY
    others: list[str] = field(default_factory=list[str])

    @property
    def marks(self) -> set[str]:
        """None of these may be seen by who has no right to it."""
        named = {getattr(self, kind) for kind in KINDS} - {NO_ENTRY}
        return {*named, self.phone.lstrip("+"), *self.others}


ABSENT = Marked(
    number="Zz0nN-zzZ9z_9",
    phone="+46700999999",
    name="nobodys line",
    text="nobody wrote this",
    code="110011",
    message="m-nobody",
    entry="sp_0000000000",
)
"""What there is not."""


@dataclass
class Account:
    team: Team
    numbers: dict[str, Marked]


async def marked(sandbox: Sandbox, services: Services, word: str, code: int, *, expired: bool = False) -> Marked:
    """A number with messages, events and things in progress, all of which hold the word or are not to be guessed."""
    (number,) = sandbox.add_numbers(1, expires_in=-timedelta(days=2) if expired else MONTH)
    item = sandbox.state.numbers[number]
    item.custom_name, item.tags = f"{word} line", [f"{word} tag"]
    text = f"Your {word} code is {code}"
    of = Marked(number, item.phone_number, item.custom_name, text, str(code), f"m-{word}", others=[word])
    if not expired:
        await sandbox.receive_sms(number, text, sender=f"{word} shop")
        await services.history.look(number, Priority.PERSON)
    at = services.clock.time()
    await tell(services, "sms.status_updated", piv_num_id=number, message_id=of.message, new_status="queued")
    await tell(
        services, "verify.completed", piv_num_id=number, captured_message=f"{word} {code + 1}", status="sms_sent"
    )
    await tell(services, f"sms.{word}", piv_num_id=number, text=f"{word} in another form")
    rows = [
        pending.pending("message", of.message, number, state="queued"),
        pending.pending("verification", number, number),
        pending.pending("restore", number, number, numbers=[number]),
    ]
    for row in rows:
        await services.store.everything.write(pending.find, pending.Pending(row.kind, row.id, row.subject, since=at))
    of.others.append(str(code + 1))
    return of


async def tell(services: Services, type_: str, **data: Any) -> None:
    body = json.dumps({"event_type": type_, "timestamp": datetime.now(UTC).isoformat(), "data": data}).encode()
    await services.inbox.record(event_of(body, services.clock.time()))


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request limit: a test of all that can be called takes more than a hundred requests a minute."""

    async def acquire(*_: object, **__: object) -> None:
        pass

    monkeypatch.setattr(SharedLimiter, "acquire", acquire)


@pytest.fixture
async def account(sandbox: Sandbox, data_dir: Path, unlimited: None) -> AsyncIterator[Account]:
    """An account with an agent that sees one number, one with another, one that sees all, and one of the inbox alone;
    in the same store, an account of somebody else."""
    other = Sandbox(rate_limit=0, timing=Timing.instant(), api_key="somebody-elses-key", seed=False)
    other.add_numbers(30)  # sandboxes count their ids alike
    async with team(sandbox, data_dir) as home, team(other, data_dir, clock=home.clock) as elsewhere:
        numbers = {
            "own": await marked(sandbox, home.services, "owlish", 482913),
            "other": await marked(sandbox, home.services, "badgery", 593024),
            "expired": await marked(sandbox, home.services, "quokkas", 604135, expired=True),
            "elsewhere": await marked(other, elsewhere.services, "lemming", 715246),
        }
        both = [numbers["own"].number, numbers["other"].number]
        restored = [{"piv_num_id": number, "phone_number": "+46700badgery"} for number in both]
        await tell(home.services, "number.restore_completed", restored=restored, failed=[])
        await home.add("narrow", [numbers["own"].number])
        await home.add("neighbour", [numbers["other"].number, numbers["expired"].number])
        await home.add("free")
        await home.add("reader", [numbers["own"].number], toolsets="inbox", read_only=1)
        await home.add("homeless", [numbers["own"].number], toolsets="account,domains,spending")
        for name, key in (("neighbour", "other"), ("free", "own")):
            numbers[key].entry = await asked_for(home, name, numbers[key])
        yield Account(home, numbers)
    await other.aclose()


async def asked_for(home: Team, agent: str, of: Marked) -> str:
    async with home.client(agent) as app:
        receipt = await app.ok("renew_number", piv_num_id=of.number, duration_months=1)
        assert receipt["status"] == "approval_required"
        return receipt["spending_id"]


def foreign_to(agent: str, account: Account) -> set[str]:
    """The marks that this agent may not see."""
    own = {"narrow": {"own"}, "neighbour": {"other", "expired"}, "reader": {"own"}, "homeless": set[str]()}
    allowed = own.get(agent, {"own", "other", "expired"})
    marks = {mark for key, of in account.numbers.items() if key not in allowed for mark in of.marks}
    if agent != "neighbour":
        marks.add(account.numbers["other"].entry)
    if agent != "free":
        marks.add(account.numbers["own"].entry)
    return marks - {NO_ENTRY}


AGENTS = ("narrow", "neighbour", "free", "reader", "homeless")


def offered(app: Connected, tools: list[Tool]) -> list[Tool]:
    """The tools of the agent's areas. (Which are listed, the server decides by the agent's rights.)"""
    areas = {spec.name: area for area, spec in catalog.everything()}
    return [tool for tool in tools if areas[tool.name] is None or areas[tool.name] in app.services.toolsets]


def own_arguments(tool: Tool, sandbox: Sandbox, own: Marked) -> dict[str, Any]:
    arguments = example(tool, sandbox)
    for name in ("piv_num_id", "number"):
        if name in arguments:
            arguments[name] = own.number
    if "piv_num_ids" in arguments:
        arguments["piv_num_ids"] = [own.number]
    return arguments


def variants(tool: Tool, sandbox: Sandbox, own: Marked, told: Marked) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Calls of the tool, each with one text that names what is `told`: (parameter, kind, arguments)."""
    least = own_arguments(tool, sandbox, own)
    for name, schema in tool.input_schema["properties"].items():
        types = {schema.get("type"), *(part.get("type") for part in schema.get("anyOf", ()))}
        for kind in KINDS:
            value: Any = getattr(told, kind)
            if "array" in types and name != "types":
                value = [value]
            elif "string" not in types or "enum" in json.dumps(schema):
                continue
            yield (
                name,
                kind,
                {
                    **least,
                    **({"timeout_seconds": 0} if "timeout_seconds" in tool.input_schema["properties"] else {}),
                    name: value,
                },
            )


def unmarked(text: str, marks: set[str], arguments: Mapping[str, Any]) -> None:
    """The answer holds no mark that the caller has not named itself."""
    given = json.dumps(arguments, ensure_ascii=False)
    seen = {mark for mark in marks if mark in text and mark not in given}
    assert not seen, f"{seen} in {text[:2000]} of {given}"


VOLATILE = [
    (re.compile(r"\bc1[A-Za-z0-9_-]{8,}"), "CURSOR"),
    (re.compile(r"\bsp_[0-9a-f]{10}"), "ENTRY"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00| UTC)?"), "TIME"),
    (re.compile(r"\d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r'("\w*seconds\w*":\s*)[\d.]+'), r"\1N"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\d+ s\b"), "N s"),
    (re.compile(r"⟦[^⟧]*⟧|untrusted-[0-9a-f]+"), "FENCE"),
]


def normal(text: str, *named: str) -> str:
    for name in sorted(named, key=len, reverse=True):
        text = text.replace(name, "NAMED")
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return text


async def said(app: Connected, tool: str, arguments: dict[str, Any]) -> str:
    result = await app.client.call_tool(tool, arguments)
    assert "RATE_LIMITED" not in text_of(result)
    return text_of(result) + json.dumps(result.structured_content, ensure_ascii=False)


REFERENCES = ("piv_num_id", "piv_num_ids", "number", "message_id", "spending_id")
"""Parameters that name one thing: what is not the caller's is as what there is not."""


@pytest.mark.parametrize("agent", AGENTS)
async def test_no_tool_shows_what_is_not_the_agents_own(account: Account, agent: str) -> None:
    own = account.numbers["other" if agent == "neighbour" else "own"]
    marks = foreign_to(agent, account)
    told = [of for of in account.numbers.values() if of.marks & marks]
    recipients: list[str] = []  # an entry shows to whom the agent itself has wanted to send
    async with account.team.client(agent) as app:
        called: set[str] = set()

        async def call(tool: str, arguments: dict[str, Any]) -> None:
            recipients.append(str(arguments.get("to_number")))
            unmarked(await said(app, tool, arguments), marks, {**arguments, "recipients": recipients})

        for tool in offered(app, (await app.client.list_tools()).tools):
            await call(tool.name, own_arguments(tool, app.sandbox, own))
            for of in told:
                for _, _, arguments in variants(tool, app.sandbox, own, of):
                    await call(tool.name, arguments)
            called.add(tool.name)
        assert len(called) > 5


@pytest.mark.parametrize("agent", ["narrow", "reader", "free"])
async def test_what_is_not_the_agents_own_answers_as_what_there_is_not(account: Account, agent: str) -> None:
    own = account.numbers["own"]
    told = [account.numbers["elsewhere"]]
    if agent != "free":
        told += [account.numbers["other"], account.numbers["expired"]]
    compared = 0
    async with account.team.client(agent) as app:
        for tool in offered(app, (await app.client.list_tools()).tools):
            absent = {(name, kind): call for name, kind, call in variants(tool, app.sandbox, own, ABSENT)}
            for of in told:
                for name, kind, arguments in variants(tool, app.sandbox, own, of):
                    if name not in REFERENCES or (name == "spending_id") is not (kind == "entry"):
                        continue
                    named, unknown = getattr(of, kind), getattr(ABSENT, kind)
                    first = normal(await said(app, tool.name, arguments), named, named.lstrip("+"))
                    second = normal(await said(app, tool.name, absent[name, kind]), unknown, unknown.lstrip("+"))
                    assert first == second, f"{tool.name}({name}: a {kind})"
                    compared += 1
    assert compared > 10


async def read(app: Connected, uri: str) -> str:
    try:
        (content,) = (await app.client.read_resource(uri)).contents
    except MCPError as error:
        return f"{error.error.message} {error.error.data}"
    assert isinstance(content, TextResourceContents)
    return content.text


@pytest.mark.parametrize("agent", AGENTS)
async def test_no_resource_shows_what_is_not_the_agents_own(account: Account, agent: str) -> None:
    marks = foreign_to(agent, account)
    async with account.team.client(agent) as app:
        for spec in RESOURCES.values():
            if spec.parameter is None:
                unmarked(await read(app, spec.uri), marks, {})
                continue
            blank = f"{{{spec.parameter}}}"
            for of in account.numbers.values():
                for kind in ("number", "phone", "message", "entry"):
                    named, unknown = getattr(of, kind), getattr(ABSENT, kind)
                    shown = await read(app, spec.uri.replace(blank, named))
                    unmarked(shown, marks, {"named": named})
                    if named in marks:
                        absent = await read(app, spec.uri.replace(blank, unknown))
                        assert normal(shown, named) == normal(absent, unknown)


@pytest.mark.parametrize("agent", AGENTS)
async def test_nothing_completes_to_what_is_not_the_agents_own(account: Account, agent: str) -> None:
    marks = foreign_to(agent, account)
    async with account.team.client(agent) as app:
        references: list[tuple[PromptReference | ResourceTemplateReference, str]] = [
            (ResourceTemplateReference(type="ref/resource", uri=spec.uri), spec.parameter)
            for spec in RESOURCES.values()
            if spec.parameter is not None
        ]
        for prompt in (await app.client.list_prompts()).prompts:
            names = [argument.name for argument in prompt.arguments or []]
            references += [(PromptReference(type="ref/prompt", name=prompt.name), name) for name in names]
            values = dict.fromkeys(names, account.numbers["other"].phone)
            unmarked((await app.client.get_prompt(prompt.name, values)).model_dump_json(), marks, values)
        for reference, name in references:
            for typed in ("", "+", "4", *(of.phone for of in account.numbers.values()), "badg", "b", "lem"):
                found = (await app.client.complete(reference, {"name": name, "value": typed})).completion
                assert not marks.intersection(found.values)
                unmarked(found.model_dump_json(), marks, {})
                assert found.total == len(found.values)


@pytest.mark.parametrize("era", ERAS)
async def test_its_own_things_are_shown(account: Account, era: Era) -> None:
    own = account.numbers["own"]
    async with account.team.client("narrow", era=era) as app:
        listed = await app.ok("list_numbers")
        assert [row["piv_num_id"] for row in listed["numbers"]] == [own.number]
        assert listed["total"] == 1
        assert (await app.ok("list_numbers", search=own.phone[-6:]))["total"] == 1
        assert (await app.ok("list_numbers", offset=1)).get("numbers") == []
        assert (await app.ok("get_number", piv_num_id=own.phone))["custom_name"] == own.name
        assert own.text in json.dumps(await app.ok("list_sms", piv_num_id=own.number))
        assert (await app.ok("get_latest_code"))["newest"]["code"] == own.code
        events = await app.ok("list_events", limit=200)
        numbers = [
            event.get("piv_num_id")
            for event in events["events"]
            if "sms." in event["type"] or "verify." in event["type"]
        ]
        assert numbers == [own.number] * 4, events
        assert events["total"] == len(events["events"])
        waiting = await app.ok("wait_for_event", types=[], timeout_seconds=0, after=events["after"])
        assert own.message in {item["id"] for item in waiting["in_progress"]}
        inbox = json.loads(await read(app, "piv://inbox"))
        assert [event["event_id"] for event in inbox["events"]] == [event["event_id"] for event in events["events"]]
        template = ResourceTemplateReference(type="ref/resource", uri="piv://numbers/{piv_num_id}")
        done = await app.client.complete(template, {"name": "piv_num_id", "value": ""})
        assert done.completion.values == [own.number]
        assert (await app.ok("list_spending"))["entries"] == []
    async with account.team.client("free", era=era) as app:
        assert (await app.ok("list_numbers"))["total"] == 9
        assert account.numbers["other"].text in json.dumps(await app.ok("list_events", limit=200))
        assert [row["spending_id"] for row in (await app.ok("list_spending"))["entries"]] == [own.entry]


async def test_the_person_sees_whose_each_entry_is(account: Account, data_dir: Path) -> None:
    entries = await account.team.services.gate.journal.entries(limit=10)
    asked = {entry.id: entry.agent for entry in entries}
    assert asked == {account.numbers["other"].entry: "neighbour", account.numbers["own"].entry: "free"}
    async with connected(account.team.sandbox, data_dir, clock=account.team.clock) as person:
        rows = (await person.ok("list_spending"))["entries"]
        assert {row["spending_id"]: row["agent"] for row in rows} == asked


async def test_an_agent_without_an_area_is_shown_nothing_of_it(account: Account) -> None:
    await tell(account.team.services, "domain.registered", domain_id="d-1", domain_name="some-domain.com")
    async with account.team.client("reader") as app:
        assert "some-domain.com" not in json.dumps(await app.ok("list_events", limit=200))
        assert "mysite" not in await read(app, "piv://domains")
        assert "has no such resource" in await read(app, "piv://commitments")
        template = ResourceTemplateReference(type="ref/resource", uri="piv://domains/{domain_id}")
        assert (await app.client.complete(template, {"name": "domain_id", "value": ""})).completion.values == []
    async with account.team.client("homeless") as app:
        assert "mysite" in await read(app, "piv://domains")
        ends = await app.ok("list_commitments", days=3650)
        assert {row["what"] for row in ends["commitments"]} == {"domain"}


async def test_a_wait_asks_piv_day_nothing_of_an_area_that_the_agent_lacks(account: Account) -> None:
    """An agent of the inbox alone learns not even whether there is a site, a domain, an entry of the queue by an id."""
    sandbox = account.team.sandbox
    named: dict[str, str] = {}
    async with account.team.client("free") as free:
        named["domain_id"] = (await free.ok("list_domains"))["domains"][0]["id"]
        named["white_id"] = (await free.ok("list_whites"))["whites"][0]["id"]
    async with account.team.client("reader") as app:
        for name, id_ in {**named, "queue_id": "q-1"}.items():
            answers: list[str] = []
            for value in (id_, "Zz0nN-zzZ9z_9"):
                app.forget_requests()
                arguments: dict[str, Any] = {"types": [], name: value, "timeout_seconds": 0}
                answers.append(normal(await said(app, "wait_for_event", arguments), value))
                asked = [item.raw_path for item in sandbox.requests[app.seen :]]
                assert not [path for path in asked if "/domains" in path or "/whites" in path]
            assert answers[0] == answers[1]


async def test_what_comes_for_others_moves_no_cursor(account: Account) -> None:
    own, other = account.numbers["own"], account.numbers["other"]
    async with account.team.client("narrow") as app:
        before = (await app.ok("list_events"))["after"]
        await tell(account.team.services, "sms.received", piv_num_id=other.number, text="Your code is 222333")
        assert (await app.ok("list_events"))["after"] == before
        await tell(account.team.services, "sms.received", piv_num_id=own.number, text="Your code is 333444")
        new = await app.ok("list_events", after=before)
        assert [event["code"] for event in new["events"]] == ["333444"]
        assert new["after"] != before


@pytest.mark.parametrize(("agent", "seen"), [("narrow", {"own"}), ("neighbour", {"other"}), ("free", {"own", "other"})])
async def test_what_others_have_in_progress_is_not_shown(account: Account, agent: str, seen: set[str]) -> None:
    messages = {account.numbers[key].message: key for key in ("own", "other")}
    async with account.team.client(agent) as app:
        waited = await app.ok(
            "wait_for_event", types=[], timeout_seconds=0, after=(await app.ok("list_events"))["after"]
        )
        shown = {item["id"] for item in waited["in_progress"]}
        assert {messages[id_] for id_ in shown & messages.keys()} == seen
    async with account.team.client("homeless") as app:
        kinds = {row.kind for row in await app.services.asking.known(pending.Sought(get_args(pending.Kind)))}
        assert kinds == set()


async def test_a_restore_of_several_numbers_is_shown_to_who_has_all_of_them(account: Account) -> None:
    own, other = account.numbers["own"], account.numbers["other"]
    await account.team.add("both", [own.number, other.number])
    for agent, count in (("narrow", 0), ("neighbour", 0), ("both", 1), ("free", 1)):
        async with account.team.client(agent) as app:
            events = await app.ok("list_events", type="number.restore_completed")
            assert events["total"] == len(events["events"]) == count, agent


async def test_a_number_that_the_agent_rents_joins_its_own(account: Account) -> None:
    async with account.team.client("narrow") as app:
        asked = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
        waiting = await app.ok("purchase_number", **asked)
        assert waiting["status"] == "approval_required"
        assert await account.team.services.gate.journal.decide(waiting["spending_id"], "approve", by="terminal")
        receipt = await app.ok("purchase_number", **asked)
        assert receipt["status"] == "charged"
        (row,) = receipt["result"]["numbers"]
        assert (await app.ok("get_number", piv_num_id=row["piv_num_id"]))["status"] == "active"
        assert (await app.ok("list_numbers"))["total"] == 2
        assert (await app.ok("list_spending"))["entries"][0]["agent"] == "narrow"
    async with account.team.client("neighbour") as app:
        assert "NUMBER_NOT_FOUND" in await app.error("get_number", piv_num_id=row["piv_num_id"])


async def test_a_foreign_number_is_neither_changed_nor_restored(account: Account) -> None:
    other, expired = account.numbers["other"], account.numbers["expired"]
    async with account.team.client("narrow") as app:
        app.forget_requests()
        await app.error("rename_number", piv_num_id=other.number, custom_name="mine")
        ids = [expired.number, account.numbers["own"].number]
        assert "NOT_FOUND" in await app.error("restore_numbers", piv_num_ids=ids)
        with pytest.raises(NotFoundError):  # nor by the client that the gate has for the agent
            await app.services.client.numbers.restore(RestoreNumbers.of(piv_num_ids=ids))
        numbers = app.sandbox.state.numbers
        assert numbers[other.number].custom_name == other.name
        assert numbers[expired.number].status(app.sandbox.now) == "expired"
