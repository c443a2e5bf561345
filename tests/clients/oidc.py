"""Tokens of an identity provider that is not ours (oidc-provider from npm) at a server over HTTP."""

import base64
import json
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from checks import SERVER, check, equal, report, settings

PROVIDER = Path(os.environ["WALL_NODE_MODULES"]).parent / "oidc_provider.mjs"

PAUSE_SECONDS = 12.0
"""After that the token of a second is over, and a server may fetch the provider's keys again: see
`piv_mcp.server.issuer`."""

# A proxy of the environment is not asked for this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], str]:
    """(status, headers in small letters, body) of an answer."""
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})  # noqa: S310
    try:
        with OPENER.open(request, timeout=20) as answer:
            return (
                answer.status,
                {name.lower(): value for name, value in answer.headers.items()},
                answer.read().decode(),
            )
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def token(issuer: str, client: str, secret: str, **form: str) -> str:
    """As a program gets one from its provider, whose metadata says where."""
    endpoint = json.loads(ask(f"{issuer}/.well-known/openid-configuration")[2])["token_endpoint"]
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    body = urllib.parse.urlencode({"grant_type": "client_credentials", **form}).encode()
    status, _, text = ask(endpoint, body, Authorization=f"Basic {basic}")
    assert status == 200, text
    return str(json.loads(text)["access_token"])


def call(url: str, bearer: str | None, method: str = "tools/list", **params: Any) -> tuple[int, dict[str, str], str]:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content_Type": "application/json", "Accept": "application/json, text/event-stream"}
    return ask(url, body, **headers, **({} if bearer is None else {"Authorization": f"Bearer {bearer}"}))


def altered(bearer: str, **header: str | None) -> str:
    """The token with another head."""
    head, claims, signature = bearer.split(".")
    fields = json.loads(base64.urlsafe_b64decode(head + "=="))
    fields = {name: value for name, value in {**fields, **header}.items() if value is not None}
    return f"{base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b'=').decode()}.{claims}.{signature}"


def ready(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if ask(f"{url}/ready")[0] == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the server is not ready")


class Provider:
    """The identity provider, in a process of its own."""

    def __init__(self, audience: str, secret: str) -> None:
        self._secret = secret
        self.process = subprocess.Popen(
            [os.environ["WALL_NODE"], str(PROVIDER)],
            env={**os.environ, "AUDIENCE": audience, "ROBOT_SECRET": secret},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it warns that it is no place for secrets
            text=True,
        )
        self.issuer = self._line()

    def token(self, client: str = "robot", **form: str) -> str:
        return token(self.issuer, client, self._secret, **form)

    def rotate(self) -> None:
        """Replace its keys."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self._line()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def main() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as ending:
        provider, other = (Provider(f"{url}/mcp", secrets.token_urlsafe(24)) for _ in range(2))
        ending.callback(provider.end)
        ending.callback(other.end)
        environment = settings(PIV_HTTP_PORT=str(port), PIV_PUBLIC_URL=url, PIV_OAUTH_ISSUER=provider.issuer)
        add = [SERVER, "agents", "add", "bot", "--toolsets", "numbers", "--subject", "robot"]
        own = subprocess.run(add, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        server = subprocess.Popen([SERVER, "serve", "--transport", "http"], env=environment)
        ending.callback(server.wait)
        ending.callback(server.terminate)
        ready(url)

        status, headers, _ = call(f"{url}/mcp", None)
        equal("a request without a token", status, 401)
        where = headers.get("www-authenticate", "").partition('resource_metadata="')[2].partition('"')[0]
        about = json.loads(ask(where)[2])
        equal("the resource", about["resource"], f"{url}/mcp")
        equal("its provider", about["authorization_servers"], [provider.issuer])

        good, brief = provider.token(resource=about["resource"]), provider.token("brief")
        for bearer in (good, own):
            status, _, text = call(f"{url}/mcp", bearer)
            check("an agent's tools", status == 200 and "list_numbers" in text and "list_domains" not in text, text)
        status, _, text = call(f"{url}/mcp", good, "tools/call", name="list_numbers", arguments={})
        check("a call", status == 200 and "piv_num_id" in text, text)

        for what, bearer in (
            ("another provider", other.token()),
            ("another audience", provider.token(resource="https://other.example/mcp")),
            ("no algorithm", altered(good, alg="none")),
            ("no signature", altered(good, alg="none").rpartition(".")[0] + "."),
            ("a shared key", altered(good, alg="HS256")),
            ("an unknown key", altered(good, kid="nobody")),
            ("another type", altered(good, typ="JWS")),
        ):
            equal(what, call(f"{url}/mcp", bearer)[0], 401)
        equal("a subject that is nobody", call(f"{url}/mcp", provider.token("stranger"))[0], 403)

        equal("a token of a second, of nobody", call(f"{url}/mcp", brief)[0], 403)
        time.sleep(PAUSE_SECONDS)
        equal("the same when it is over", call(f"{url}/mcp", brief)[0], 401)
        provider.rotate()
        equal("a token by the new key", call(f"{url}/mcp", provider.token())[0], 200)
        equal("one by the old key", call(f"{url}/mcp", good)[0], 401)
    report()


if __name__ == "__main__":
    main()
