"""What the tests of a server's console share: a server with one, operators with browsers, and their passkeys."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import httpx
from approvals import BUY, BrowserPerson
from fleets import Replica, Site
from plain_http import http_client
from playwright.async_api import CDPSession, Page
from processes import free_port

from piv_mcp.cli.operator_rows import invite
from piv_mcp.store import Store
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import open_store

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}

SIGN = """async (options) => {
  const bytes = (text) => Uint8Array.from(
    atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const made = await navigator.credentials.get({ publicKey: {
    ...options, challenge: bytes(options.challenge),
    allowCredentials: options.allowCredentials.map((key) => ({ ...key, id: bytes(key.id) })),
  } });
  const { id, rawId, type, response } = made;
  return JSON.stringify({ id, rawId: text(rawId), type, response: {
    clientDataJSON: text(response.clientDataJSON), authenticatorData: text(response.authenticatorData),
    signature: text(response.signature), userHandle: response.userHandle && text(response.userHandle),
  } });
}"""
"""What a page does that asks a passkey."""


async def to_authenticator(cdp: CDPSession, method: str, **parameters: Any) -> dict[str, Any]:
    """What the browser answers to a command for its virtual authenticators."""
    return await cdp.send(f"WebAuthn.{method}", parameters)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - Playwright tells no types


@dataclass
class Device:
    """A browser with an authenticator of its own, at the console of a server."""

    page: Page
    cdp: CDPSession
    authenticator: str
    url: str

    async def enrol(self, link: str) -> None:
        await self.page.goto(link)
        await self.page.get_by_role("button", name="Make a passkey").click()
        await self.page.locator(".who bdi").wait_for()
        await self.page.goto(f"{self.url}/approvals")

    async def sign_in(self) -> None:
        await self.page.get_by_role("button", name="Sign in with a passkey").click()
        await self.page.locator(".who bdi").wait_for()

    async def verify_nobody(self) -> None:
        """From now on the authenticator does not find out who uses it."""
        await self._sent("setUserVerified", isUserVerified=False)

    async def credentials(self) -> list[dict[str, Any]]:
        return (await self._sent("getCredentials"))["credentials"]

    async def put_back(self, credential: dict[str, Any]) -> None:
        """Put a credential in the place of the one with its id, as a copy of the authenticator has it."""
        await self._sent("removeCredential", credentialId=credential["credentialId"])
        await self._sent("addCredential", credential=credential)

    async def _sent(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await to_authenticator(self.cdp, method, authenticatorId=self.authenticator, **parameters)

    async def sign(self, options: dict[str, Any]) -> str:
        """What the passkey answers, as a page passes it on."""
        return await self.page.evaluate(SIGN, options)

    async def cookie(self) -> dict[str, Any]:
        (cookie,) = await self.page.context.cookies(self.url)
        return dict(cookie)

    async def visitor(self) -> "SignedIn":
        """The session of this browser, for requests that no page would make."""
        cookie = await self.cookie()
        return SignedIn(self.url, self.url, f"{cookie['name']}={cookie['value']}")


@dataclass(frozen=True)
class SignedIn:
    """Somebody with the cookie of a session, at a server that listens at `at` for the console `url`."""

    at: str
    url: str
    cookie: str

    async def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        given = {"Cookie": self.cookie, "Origin": self.url, "Host": self.url.partition("://")[2], **(headers or {})}
        async with http_client(self.at) as http:
            return await http.post(path, headers=given, data=fields)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        given = {"Cookie": self.cookie, "Host": self.url.partition("://")[2], **(headers or {})}
        async with http_client(self.at) as http:
            return await http.get(path, headers=given)

    async def options(self, entry_id: str) -> tuple[str, dict[str, Any]]:
        """(the nonce, what is to be signed) of the approval of an entry."""
        answer = await self.post(f"/approvals/{entry_id}/options")
        assert answer.status_code == 200, answer.text
        asked = json.loads(answer.text)
        return asked["nonce"], asked["options"]

    async def approve(self, entry_id: str, nonce: str, answer: str) -> str:
        """What the page says then of the entry: the query of the address to which it leads."""
        done = await self.post(f"/approvals/{entry_id}/passkey", nonce=nonce, answer=answer)
        assert done.status_code == 303, done.text
        return httpx.URL(done.headers["location"]).params.get("click", "")

    @asynccontextmanager
    async def slowly(self, path: str, **fields: str) -> AsyncGenerator[None]:
        """Send a form of which the last part comes after the block."""
        host, body = self.url.partition("://")[2], urlencode(fields).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.at.rpartition(":")[2]))
        head = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Origin: {self.url}", f"Cookie: {self.cookie}"]
        head += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        writer.write("\r\n".join(head).encode() + body[:1])
        await asyncio.sleep(0.5)  # nothing tells from outside that the request has come so far
        yield
        writer.write(body[1:])
        await reader.read()
        writer.close()

    def beside(self, port: int) -> "SignedIn":
        """The same at another server."""
        return replace(self, at=f"http://127.0.0.1:{port}")


@dataclass
class ConsoleSite:
    """A server with a console, and the people of its tests."""

    site: Site
    replica: Replica
    person: BrowserPerson
    url: str

    async def device(self, at: str = "/", **how: Any) -> Device:
        page = await self.person.page("about:blank", **how)
        cdp = await page.context.new_cdp_session(page)
        await to_authenticator(cdp, "enable")
        made = await to_authenticator(cdp, "addVirtualAuthenticator", options=AUTHENTICATOR)
        device = Device(page, cdp, made["authenticatorId"], self.url)
        await page.goto(f"{self.url}{at}")
        return device

    async def link(self, name: str = "anna", account: str | None = None, *, again: bool = False) -> str:
        return await invite(self.replica.settings, name, account, again=again)

    async def operator(self, name: str = "anna", account: str | None = None) -> Device:
        """Somebody who is signed in, in a browser of their own, and looks at the approvals."""
        device = await self.device("/sign-in")
        await device.enrol(await self.link(name, account))
        return device

    async def waiting(self, token: str, **arguments: Any) -> str:
        """The id of a purchase that waits for approval."""
        answer = await self.replica.call(token, "purchase_number", **(BUY | arguments))
        assert answer["status"] == "approval_required", answer
        return answer["spending_id"]

    @asynccontextmanager
    async def store(self) -> AsyncGenerator[Store]:
        store = open_store(self.replica.settings, open_directory(self.replica.settings))
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def console(site: Site, person: BrowserPerson, **settings: Any) -> AsyncGenerator[ConsoleSite]:
    """A server in this process, with a console at an address that browsers take for safe."""
    port = free_port()
    url = f"http://localhost:{port}"
    async with site.server(console_url=url, console_port=port, confirm_wait=0, **settings) as replica:
        yield ConsoleSite(site, replica, person, url)
        while person.contexts:  # before the server ends: an open page would report that
            await person.contexts.pop().close()
        # The browser notes each refusal, and these are what the tests are about.
        person.problems[:] = [problem for problem in person.problems if "responded with a status of 4" not in problem]
