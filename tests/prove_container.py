"""Proves Containerfile and compose.yaml where no image can be built: `.venv/bin/python tests/prove_container.py`.

The steps of the Containerfile are run in a bare Debian that mmdebstrap makes, in place of its base image. The server
then starts in it as the container's user, with a read-only root and without any capability, and answers the health
check that the Containerfile names; the signal that it names ends the server. `caddy validate` reads the proxy's
configuration of compose.yaml, and Caddy passes requests on to two servers, of which one stops.

It needs Linux, root, mmdebstrap, caddy, and the network for Debian's and Python's packages. What it does not show: that
`docker build` takes the file, and what the base image does in another way (its Python above all).
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import containerfile
from containerfile import Stage
from processes import free_port

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(sys.executable).with_name("piv-mcp")

SUITE = "bookworm"
"""Of Debian: the one that the base image names."""

START_SECONDS = 60
STOP_SECONDS = 25
"""How long a server may take to stop."""

DOMAIN = "mcp.example.com"

# What the runtime of containers does: a root that nobody writes to, and places in memory for what is written.
ENTER = """
set -e
root=$1; user=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t tmpfs -o "uid=$user,gid=$user,mode=0700" tmpfs "$root/data"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
for device in null urandom zero; do mount --bind "/dev/$device" "$root/dev/$device"; done
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


def say(text: str) -> None:
    print(f"- {text}", flush=True)


def run(*command: str | Path, **options: Any) -> str:
    """What the command prints; its errors only when it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(map(str, command))[:300]}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def until(look: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def status(url: str, host: str | None = None) -> int:
    """The HTTP status of an answer; 0 without one."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


# --- the image


def wheels(folder: Path, python: str, stage: Stage) -> None:
    """All that pip needs in the root, where it finds no index: it has this machine's settings of pip no more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = project["project"]["dependencies"] + project["build-system"]["requires"]
    for extra in stage.extras():
        needed += project["project"]["optional-dependencies"][extra]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", python]
    run(*pip, "--dest", folder, *needed)


def copied(stage: Stage, context: Path, root: Path, others: Mapping[str, Path], line: str) -> None:
    """A COPY instruction."""
    words = line.split()
    source = context
    if words[0].startswith("--from="):
        source = others[words.pop(0).removeprefix("--from=")]
    *names, target = words
    where = root / place_of(stage, target)
    for name in names:
        path = source / name.strip("/")
        to = where / path.name if target.endswith("/") else where
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, to, symlinks=True, dirs_exist_ok=True, ignore=ignored if source == context else None)
        else:
            shutil.copy(path, to)


def place_of(stage: Stage, target: str) -> str:
    folders = stage.all_of("WORKDIR")
    return (target if target.startswith("/") else f"{folders[0] if folders else ''}/{target}").strip("/")


def build(stage: Stage, root: Path, others: Mapping[str, Path], extra: Mapping[str, str]) -> None:
    folder = "/"
    for instruction, arguments in stage.steps:
        match instruction:
            case "COPY":
                copied(stage, ROOT, root, others, arguments)
            case "WORKDIR":
                folder = arguments
                (root / folder.strip("/")).mkdir(parents=True, exist_ok=True)
            case "RUN":
                say(f"RUN {arguments}")
                chroot = shutil.which("chroot") or "/usr/sbin/chroot"
                command = [chroot, str(root), "/bin/sh", "-ec", f"cd {folder} && {arguments}"]
                run(*command, env={"PATH": "/usr/local/bin:/usr/bin:/bin", **extra})
            case "ENV":
                if stage.steps.index((instruction, arguments)) < last_run(stage):
                    raise SystemExit("this proof sets variables for the container that runs alone")
            case "USER" | "EXPOSE" | "VOLUME" | "STOPSIGNAL" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
                pass  # about the container that runs
            case _:
                raise SystemExit(f"this proof does not know {instruction}")


def last_run(stage: Stage) -> int:
    return max((number for number, (instruction, _) in enumerate(stage.steps) if instruction == "RUN"), default=0)


def make_image(folder: Path) -> tuple[Stage, Path]:
    """The last stage, and its root."""
    base = folder / "base"
    made = containerfile.stages(containerfile.CONTAINERFILE.read_text("utf-8"))
    if SUITE not in made[-1].base:
        raise SystemExit(f"the base image is none of {SUITE}: {made[-1].base}")
    say(f"Debian {SUITE} in place of {made[-1].base}")
    run("mmdebstrap", "--variant=apt", "--include=python3,python3-venv", SUITE, base)
    (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    version = run("chroot", base, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    roots: dict[str, Path] = {}
    root = base
    for number, stage in enumerate(made):
        root = roots[stage.name or str(number)] = folder / f"root-{number}"
        run("cp", "--archive", base, root)
        offline = {}
        if any("pip" in line for line in stage.all_of("RUN")):
            wheels(root / "wheels", version, stage)
            offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
        build(stage, root, roots, offline)
    return made[-1], root


def as_user(stage: Stage, environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """A command with the container's user and variables, and without rights."""
    user, _, group = stage.last("USER").partition(":")
    variables = [f"{name}={value}" for name, value in {**stage.environment(), **environment}.items()]
    drop = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    drop += ["--bounding-set=-all", "--inh-caps=-all"]
    return [*drop, "env", "--ignore-environment", f"--chdir={stage.last('WORKDIR')}", *variables, *command]


@contextmanager
def container(stage: Stage, root: Path, environment: Mapping[str, str]) -> Generator[int]:
    """The server in its root. Gives the process id that it has outside."""
    user = stage.last("USER").partition(":")[0]
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter", str(root), user]
    command = [*stage.words("ENTRYPOINT"), *stage.words("CMD")]
    process = subprocess.Popen([*enter, *as_user(stage, environment, command)], stdin=subprocess.DEVNULL)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: bool(children.read_text()), 10, "the container begins")
        yield int(children.read_text())
    finally:
        process.kill()
        process.wait()


def inside(pid: int, stage: Stage, environment: Mapping[str, str], *command: str) -> bool:
    """Whether a command succeeds in the container, as its user."""
    enter = ["nsenter", "--target", str(pid), "--mount", "--pid", "--root"]
    done = subprocess.run([*enter, *as_user(stage, environment, command)], capture_output=True, check=False)
    return done.returncode == 0


def prove_image(folder: Path) -> None:
    stage, root = make_image(folder)
    port = free_port()
    environment = {"PIV_HTTP_PORT": str(port), "PIV_HTTP_HOST": "127.0.0.1", "PIV_SANDBOX": "1"}
    check = stage.last("HEALTHCHECK")
    health = containerfile.json_words(check.partition(" CMD ")[2])
    with container(stage, root, environment) as pid:
        until(lambda: inside(pid, stage, environment, *health), START_SECONDS, "it is healthy")
        until(lambda: status(f"http://127.0.0.1:{port}/ready") == 200, START_SECONDS, "it is ready")
        say("the server is healthy and ready")
        about = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert about["Uid"].split() == [stage.last("USER").partition(":")[0]] * 4, about["Uid"]
        assert int(about["CapEff"], 16) == int(about["CapBnd"], 16) == 0, about["CapEff"]
        assert about["NoNewPrivs"] == "1"
        for place in ("/", "/opt/piv-mcp", "/usr/bin"):
            assert not inside(pid, stage, environment, "touch", f"{place}/written"), f"{place} can be written to"
        assert inside(pid, stage, environment, "touch", "/data/written")
        assert inside(pid, stage, environment, "python", "-c", "import piv_mcp, prometheus_client, psycopg, apprise")
        assert not inside(pid, stage, environment, "python", "-c", "import pip"), "pip is there"
        say("it runs without root, without capabilities, with a read-only root")
        started = time.monotonic()
        os.kill(pid, getattr(signal, stage.last("STOPSIGNAL")))
        until(lambda: not Path(f"/proc/{pid}").exists(), STOP_SECONDS, "it stops")
        say(f"{stage.last('STOPSIGNAL')} ends it in {time.monotonic() - started:.1f} s")


# --- compose.yaml


def prove_compose() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        say("docker compose is not here: only our own tests read compose.yaml")
        return
    run(docker, "compose", "config", "--quiet", cwd=ROOT, env={**os.environ, "DOMAIN": DOMAIN})
    say("docker compose takes compose.yaml")


# --- the proxy


def caddyfile(ports: Sequence[int] = (), listen: int = 0) -> str:
    """The proxy's configuration of compose.yaml; with ports, for servers of this machine and without certificates."""
    text = containerfile.compose()["configs"]["caddyfile"]["content"].replace("$$", "$")
    for number, port in enumerate(ports, 1):
        assert f"server-{number}:8788" in text
        text = text.replace(f"server-{number}:8788", f"127.0.0.1:{port}")
    if listen:
        text = "{\n  admin off\n}\n" + text.replace("{$DOMAIN} {\n", f"http://{DOMAIN}:{listen} {{\n", 1)
    return text


@contextmanager
def server(folder: Path, port: int) -> Generator["subprocess.Popen[bytes]"]:
    """One server of this checkout, over HTTP."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIV_")}
    settings = {
        "TRANSPORT": "http",
        "HTTP_PORT": str(port),
        "SANDBOX": "1",
        "DATA_DIR": str(folder / f"data-{port}"),
        "PUBLIC_URL": f"https://{DOMAIN}",
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    environment |= {f"PIV_{name}": value for name, value in settings.items()}
    process = subprocess.Popen([PROGRAM, "serve"], env=environment, stdin=subprocess.DEVNULL)
    try:
        until(lambda: status(f"http://127.0.0.1:{port}/ready", DOMAIN) == 200, START_SECONDS, "a server is ready")
        yield process
    finally:
        process.kill()
        process.wait()


def prove_proxy(folder: Path) -> None:
    file = folder / "Caddyfile"
    home = {**os.environ, "HOME": str(folder), "DOMAIN": DOMAIN}
    file.write_text(caddyfile(), "utf-8")
    run("caddy", "validate", "--config", file, "--adapter", "caddyfile", env=home)
    say("caddy takes its configuration")
    ports, door = [free_port(), free_port()], free_port()
    file.write_text(caddyfile(ports, door), "utf-8")
    with server(folder, ports[0]) as first, server(folder, ports[1]):
        command = [shutil.which("caddy") or "caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
        caddy = subprocess.Popen(command, env=home, stderr=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{door}"
            until(lambda: status(f"{address}/ready", DOMAIN) == 200, 20, "Caddy passes requests on")
            assert status(f"{address}/mcp", DOMAIN) in (401, 405), "nobody is let in without a token"
            first.terminate()
            answers: list[int] = []
            while first.poll() is None or len(answers) < 200:
                answers.append(status(f"{address}/mcp", DOMAIN))
            assert set(answers) <= {401, 405, 503}, set(answers)
            assert set(answers[-100:]) <= {401, 405}, set(answers[-100:])
            say(f"one server stops: of {len(answers)} requests none is lost, and {answers.count(503)} are told to wait")
        finally:
            caddy.terminate()
            caddy.wait()


def main() -> int:
    if os.geteuid() != 0:
        raise SystemExit("this needs root: it makes a root directory for a container")
    prove_compose()
    with tempfile.TemporaryDirectory(prefix="piv-mcp-container-") as folder:
        prove_proxy(Path(folder))
        prove_image(Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
