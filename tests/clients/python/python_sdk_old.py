"""The Python SDK 1.x, on which most clients written in Python are built: the handshake era."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from checks import BUDGET, SERVER, attempt, check, equal, filled, plan, report, settings
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client

Answer = Callable[[str], Awaitable[types.ElicitResult]]

YES = types.ElicitResult(action="accept", content={"approve": True})


async def read() -> None:
    """A person reads the question before they answer."""
    await asyncio.sleep(plan()["read_seconds"] + 0.2)


async def approve(question: str) -> types.ElicitResult:
    await read()
    return YES


class Session:
    """A client with its server, and what the server has told by itself."""

    def __init__(self, session: ClientSession, updated: list[str]) -> None:
        self.client = session
        self.updated = updated

    async def call(self, name: str, values: dict[str, Any]) -> Any:
        """The structured answer of a call that must succeed; the SDK holds it against the tool's schema."""
        result = await self.client.call_tool(name, values)
        assert not result.isError, result.content
        assert isinstance(result.content[0], types.TextContent)
        equal(f"the text of {name}", json.loads(result.content[0].text), result.structuredContent)
        return result.structuredContent


@asynccontextmanager
async def connected(person: Answer | None = None, **changed: str) -> AsyncGenerator[Session]:
    updated: list[str] = []

    async def elicit(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        assert person is not None
        return await person(params.message)

    async def note(message: Any) -> None:
        if isinstance(message, Exception):
            check("a message that the client understands", False, repr(message))
        elif isinstance(message.root, types.ResourceUpdatedNotification):
            updated.append(str(message.root.params.uri))

    parameters = StdioServerParameters(command=SERVER, env=settings(**changed))
    async with (
        stdio_client(parameters) as (received, sent),
        ClientSession(
            received,
            sent,
            read_timeout_seconds=timedelta(seconds=60),
            elicitation_callback=elicit if person else None,
            message_handler=note,
        ) as session,
    ):
        begun = await session.initialize()
        equal("the version", begun.protocolVersion, types.LATEST_PROTOCOL_VERSION)
        check("instructions", "piv.day" in (begun.instructions or ""))
        await session.list_tools()
        yield Session(session, updated)


async def tools() -> None:
    async with connected() as app:
        found = (await app.client.list_tools()).tools
        shown = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in found]
        equal("the tools", [tool["name"] for tool in shown], [tool["name"] for tool in plan()["tools"]])
        for tool, sent in zip(shown, plan()["tools"], strict=True):
            equal(f"the definition of {sent['name']}", tool, sent)
    await asyncio.gather(*(calls(part) for part in plan()["calls"]))


async def calls(part: list[dict[str, Any]]) -> None:
    answers: dict[str, Any] = {}
    async with connected(approve, **BUDGET) as app:
        for item in part:
            name = item["name"]

            async def once(name: str = name, given: Any = item["arguments"]) -> None:
                answers[name] = await app.call(name, filled(given, answers))
                check(f"{name} answers", answers[name])

            await attempt(name, once)


async def reading() -> None:
    async with connected() as app:
        client = app.client
        templates = (await client.list_resource_templates()).resourceTemplates
        listed = {str(item.uri) for item in (await client.list_resources()).resources}
        equal("the resources", listed | {item.uriTemplate for item in templates}, set(plan()["uris"]))
        for uri in plan()["uris"].values():
            (content,) = (await client.read_resource(uri)).contents
            assert isinstance(content, types.TextResourceContents)
            equal(f"the URI of {uri}", str(content.uri), uri)
            check(f"{uri} is an object", isinstance(json.loads(content.text), dict))
        for item in templates:
            (name,) = re.findall(r"\{(\w+)\}", item.uriTemplate)
            id_ = plan()["uris"][item.uriTemplate].removeprefix(item.uriTemplate.partition("{")[0]).split("/")[0]
            reference = types.ResourceTemplateReference(type="ref/resource", uri=item.uriTemplate)
            completion = (await client.complete(reference, {"name": name, "value": id_[:2]})).completion
            check(f"completing {item.uriTemplate}", id_ in completion.values, completion)
        found = (await client.list_prompts()).prompts
        equal("the prompts", {item.name for item in found}, set(plan()["prompts"]))
        for prompt in found:
            got = await client.get_prompt(prompt.name, plan()["prompts"][prompt.name])
            check(f"the prompt {prompt.name}", isinstance(got.messages[0].content, types.TextContent), got)
            for argument in prompt.arguments or []:
                reference = types.PromptReference(type="ref/prompt", name=prompt.name)
                completion = (await client.complete(reference, {"name": argument.name, "value": ""})).completion
                check(f"completing {argument.name}", completion.values or argument.name != "number", completion)


async def waiting() -> None:
    async with connected() as app:
        told: list[tuple[float, float | None, str | None]] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            told.append((done, total, message))

        values = {"number": plan()["number"], "timeout_seconds": 2 * plan()["progress_seconds"] + 1}
        waited = await app.client.call_tool("wait_for_code", values, progress_callback=progress)
        equal("a wait without a code", (waited.structuredContent or {})["status"], "timeout")
        check("progress of a wait", told)
        for done, total, message in told:
            check("progress says how far", 0 < done <= (total or 0) and message, told)


async def updates() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with connected(PIV_WEBHOOK_PORT=str(port)) as app:
        inbox, sms = "piv://inbox", plan()["uris"]["piv://numbers/{piv_num_id}/sms"]
        for uri in (inbox, sms):
            await app.client.subscribe_resource(uri)
        await app.call("simulate_incoming_sms", {"number": plan()["number"], "text": "Your code is 482913"})
        await told_of(app, inbox, sms)
        (content,) = (await app.client.read_resource(sms)).contents
        check("the new SMS is read", "482913" in content.model_dump_json())
        await app.client.unsubscribe_resource(sms)
        app.updated.clear()
        await app.call("simulate_incoming_sms", {"number": plan()["number"], "text": "Your code is 731905"})
        await told_of(app, inbox)
        await app.call("get_account", {})  # what is sent with that update has arrived before this answer
        check("no update after unsubscribing", sms not in app.updated, app.updated)


async def told_of(app: Session, *uris: str) -> None:
    end = time.monotonic() + 20
    while not set(uris) <= set(app.updated):
        assert time.monotonic() < end, f"updates of {app.updated} alone"
        await asyncio.sleep(0.05)


async def approval(answer: types.ElicitResult, status: str, charged: str, *, reads: bool = True) -> None:
    questions: list[str] = []

    async def person(question: str) -> types.ElicitResult:
        questions.append(question)
        if reads:
            await read()
        return answer

    async with connected(person, PIV_CONFIRM_WAIT="5") as app:
        before = float((await app.call("get_account", {}))["balance"])
        bought = await app.call(plan()["purchase"]["name"], plan()["purchase"]["arguments"])
        equal(f"{answer}, {reads=}: the outcome", bought["status"], status)
        after = float((await app.call("get_account", {}))["balance"])
        equal(f"{answer}, {reads=}: the account", f"{before - after:.2f}", charged)
        equal(f"{answer}, {reads=}: the journal", (await app.call("list_spending", {}))["charged"], charged)
        equal(f"{answer}, {reads=}: asked once", len(questions), 1)
        check("the question names the price", "4.00" in questions[0], questions)


async def main() -> None:
    for part in (tools, reading, waiting, updates):
        await attempt(part.__name__, part)
    cases = (
        (YES, "charged", "4.00", True),
        (types.ElicitResult(action="accept", content={"approve": False}), "declined", "0.00", True),
        (types.ElicitResult(action="decline"), "declined", "0.00", True),
        (types.ElicitResult(action="cancel"), "cancelled", "0.00", True),
        (YES, "approval_required", "0.00", False),
    )
    for answer, status, charged, reads in cases:

        async def case(a: Any = answer, s: str = status, c: str = charged, r: bool = reads) -> None:
            await approval(a, s, c, reads=r)

        await attempt(f"approval: {answer}", case)


asyncio.run(main())
report()
