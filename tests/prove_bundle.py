"""Proves the extension for Claude Desktop, as `tests/bundle.py` builds it: `.venv/bin/python tests/prove_bundle.py`.

The tool of the format's makers (npm) validates, packs and unpacks it, and fills in the settings as Claude Desktop does.
uv (PyPI) then starts the unpacked extension in an environment of its own, and a client lists and calls its tools. Both
are installed in a temporary folder. Last, the command of the links in docs/clients.md starts a wheel of this version,
which stands in for the release on PyPI. It needs Linux or macOS, Node, and the network.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import bundle
import client_links
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import TextContent

from piv_mcp.server import catalog, prompts

MCPB = "@anthropic-ai/mcpb@2.1.2"
UV = "uv==0.13.9"

OURS = ("PIV_", "PYTHON", "VIRTUAL_ENV", "XDG_")
"""Variables that would lead to the checkout, or to the data of the person who runs this."""

FILL_IN = """
import { readFileSync } from "node:fs";
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb/node";
const [folder, userConfig] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf8"));
const system = { HOME: "/home/someone", DESKTOP: "/x", DOCUMENTS: "/x", DOWNLOADS: "/x" };
console.log(JSON.stringify(await getMcpConfigForManifest({
  manifest, extensionPath: folder, systemDirs: system, userConfig: JSON.parse(userConfig), pathSeparator: "/",
})));
"""

CASES: Mapping[str, Mapping[str, object]] = {
    "nothing filled in": {},
    "everything emptied": dict.fromkeys(bundle.ASKED, ""),
    "the sandbox": {"sandbox": True},
}


class Proof:
    """One extension, unpacked in a temporary folder beside the tools that it is proved with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unpacked = folder / "Claude Extensions" / "piv-mcp"  # the client's own folder has a space, too
        self.uv = folder / "uv" / "bin"
        self.wheels = folder / "wheels"
        self.home = folder / "home"
        self.home.mkdir()

    def environment(self) -> dict[str, str]:
        """The environment of somebody who has no settings and no data."""
        # The rest of this machine's environment says how to reach the network.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        path = f"{self.uv}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": path, "HOME": str(self.home), "PIV_WEBHOOK_PORT": "0"}

    def run(self, *command: str | Path) -> str:
        """What the command prints. Its errors are shown only when it fails."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def install(self) -> None:
        """Install the tools."""
        self.run("npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", self.folder, MCPB)
        self.run(sys.executable, "-m", "venv", self.folder / "uv")
        self.run(self.uv / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)

    def check_file(self) -> None:
        """Build twice, and let the makers' tool validate, unpack and pack the file."""
        built = bundle.build(self.folder / "one")
        assert built.read_bytes() == bundle.build(self.folder / "two").read_bytes(), "two builds differ"
        tool = ("node", self.folder / "node_modules" / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js")
        self.run(*tool, "unpack", built, self.unpacked)
        self.run(*tool, "validate", self.unpacked / "manifest.json")
        self.run(*tool, "pack", self.unpacked, self.folder / "packed.mcpb")
        with ZipFile(built) as ours, ZipFile(self.folder / "packed.mcpb") as theirs:
            assert {n: ours.read(n) for n in ours.namelist()} == {n: theirs.read(n) for n in theirs.namelist()}
            print(f"valid: {len(ours.namelist())} files, {built.stat().st_size:,} bytes")

    def command(self, user_config: Mapping[str, object]) -> tuple[Sequence[str], Mapping[str, str]]:
        """The command and the variables with which Claude Desktop starts the extension."""
        script = self.folder / "fill_in.mjs"
        script.write_text(FILL_IN, "utf-8")
        config = json.loads(self.run("node", script, self.unpacked, json.dumps(user_config)))
        return [config["command"], *config["args"]], config["env"]

    async def check_start(self, command: Sequence[str], env: Mapping[str, str], *, sandbox: bool) -> float:
        """Start the server with these variables; return the seconds until it listed its tools."""
        parameters = StdioServerParameters(
            command=str(self.uv / command[0]),
            args=list(command[1:]),
            env={**self.environment(), **env},
            cwd=self.home,
        )
        started = time.monotonic()
        with (self.folder / "log").open("a+") as log:
            try:
                async with Client(stdio_client(parameters, errlog=log)) as client:
                    tools = [tool.name for tool in (await client.list_tools()).tools]
                    seconds = time.monotonic() - started
                    await self.check_answers(client, tools, sandbox=sandbox)
            except BaseException:
                log.seek(0)
                print(log.read(), file=sys.stderr)
                raise
        return seconds

    async def check_answers(self, client: Client, tools: Sequence[str], *, sandbox: bool) -> None:
        """The tools are those of the manifest, the prompts are there, and a call says what to do without a key."""
        promised = [tool["name"] for tool in self.manifest()["tools"]]
        assert tools == promised + [spec.name for spec in catalog.SANDBOX if sandbox], tools
        shown = [prompt.name for prompt in (await client.list_prompts()).prompts]
        assert shown == [prompt.name for prompt in prompts.load()], shown
        answer = await client.call_tool("list_numbers", {})
        words = "".join(block.text for block in answer.content if isinstance(block, TextContent))
        assert bool(answer.is_error) is not sandbox, words
        assert sandbox or "PIV_API_KEY is not set" in words, words

    def manifest(self) -> Mapping[str, Any]:
        return json.loads((self.unpacked / "manifest.json").read_text("utf-8"))


async def prove(proof: Proof) -> None:
    for case, user_config in CASES.items():
        command, env = proof.command(user_config)
        seconds = await proof.check_start(command, env, sandbox=case == "the sandbox")
        print(f"started, {case}: {seconds:.1f} s until the tools were listed")
    # The form in which a client starts the entry point by itself.
    by_path = ("uv", "run", "--directory", str(proof.unpacked), bundle.ENTRY_POINT)
    seconds = await proof.check_start(by_path, {}, sandbox=False)
    print(f"started, by its entry point: {seconds:.1f} s")
    proof.run(proof.uv / "uv", "build", "--quiet", "--wheel", "--out-dir", proof.wheels, proof.unpacked)
    link = [client_links.COMMAND["command"], *client_links.COMMAND["args"]]
    seconds = await proof.check_start(link, {"UV_FIND_LINKS": str(proof.wheels)}, sandbox=False)
    print(f"started, by the command of the links: {seconds:.1f} s")


if __name__ == "__main__":
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        proof = Proof(Path(temporary))
        proof.install()
        print(f"tools installed: {time.monotonic() - begun:.1f} s")
        proof.check_file()
        asyncio.run(prove(proof))
    print(f"proved in {time.monotonic() - begun:.1f} s")
