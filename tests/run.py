"""Runs the tests on a machine that has only Python: `python3 tests/run.py [--no-install] [pytest's arguments]`.

Makes a virtual environment in `.venv` and installs the project in it with what the tests need. Installs Chromium, for
the tests of the approval page, where the machine has none: from the system's packages as root on Debian and its
relatives, else Playwright's. Says on the terminal what is to be installed, and how to do that by hand, before it
installs anything. Then runs pytest with two workers for each processor; `-n0` runs all in one process.

`--no-install` changes nothing outside `.venv`: without a Chromium the tests of the approval page are left out, and
without PostgreSQL those of the store in it. The check of the person's pages by axe-core needs npm, which puts it in
`tests/.axe`; without npm that check is left out. PostgreSQL is Debian's, or that of the package `pgserver` in `.venv`.
With `CI` in the environment no test may be left out: the run fails instead.

Chromium's headless shell is preferred, which draws no windows and needs half the processor. `CHROMIUM` in the
environment names another program.

Standard library only.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_PACKAGES = ("chromium-headless-shell", "chromium")
PLAYWRIGHT = [str(PYTHON), "-m", "playwright", "install", "chromium"]
UPDATE, INSTALL = ["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends"]
LEFT_OUT = "LEFT OUT: the tests of the approval page (marked `browser`), since there is no Chromium."
AXE = ROOT / "tests" / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
NPM = ["install", "--prefix", str(ROOT / "tests" / ".axe"), "--ignore-scripts", "--no-audit", "--no-fund"]
AXE_VERSION = "axe-core@4.14.1"
NO_AXE = "LEFT OUT: the check of the person's pages by axe-core (marked `axe`), since it could not be installed."
POSTGRESQL = [UPDATE, [*INSTALL, "postgresql"]]
NO_POSTGRESQL = "LEFT OUT: the tests of the store in PostgreSQL (marked `postgresql`), since there is no PostgreSQL."
MAX_WORKERS = 16


def main(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    may_install = "--no-install" not in arguments
    arguments = [argument for argument in arguments if argument != "--no-install"]
    make_environment()
    has_browser = find_browser() or (may_install and install_browser())
    has_axe = AXE.exists() or (may_install and install_axe())
    has_database = find_database() or (may_install and install_database())
    missing = {
        "browser": (has_browser, "Chromium", LEFT_OUT),
        "axe": (has_axe, "axe-core", NO_AXE),
        "postgresql": (has_database, "PostgreSQL", NO_POSTGRESQL),
    }
    left_out = {marker: words for marker, (is_there, _, words) in missing.items() if not is_there}
    for marker, words in left_out.items():
        if os.environ.get("CI"):
            sys.exit(f"There is no {missing[marker][1]}, and with CI in the environment no test may be left out.")
        say(words)
    chosen = ["-m", " and ".join(f"not {marker}" for marker in left_out)] if left_out else []
    command = [str(PYTHON), "-m", "pytest", "-n", str(workers()), *chosen, *arguments]
    version = subprocess.run([str(PYTHON), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    say(f"Running the tests on {version}:", text(command))
    # The tests start many processes: without its compiled files each of them would compile the package anew.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    for words in left_out.values():
        say(words)
    return status


def make_environment() -> None:
    """The virtual environment, with the project and its `dev` extra in it."""
    make = [sys.executable, "-m", "venv", str(VENV)]
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--editable", f"{ROOT}[dev]"]
    commands = [install] if PYTHON.exists() else [make, install]
    say("Installing the project and the packages that its tests need, in .venv alone. By hand:", *map(text, commands))
    for command in commands:
        subprocess.run(command, check=True)


def find_browser() -> bool:
    """Whether there is a Chromium: the system's, or one that Playwright has downloaded before."""
    if system_browser() is not None:
        return True
    program = (
        "import pathlib, playwright.sync_api as api\n"
        "with api.sync_playwright() as started:\n"
        "    raise SystemExit(not pathlib.Path(started.chromium.executable_path).exists())"
    )
    return subprocess.run([str(PYTHON), "-c", program], capture_output=True, check=False).returncode == 0


def system_browser() -> str | None:
    """The one that `CHROMIUM` names, else the system's, if there is one."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else BROWSERS
    return next((path for name in names if (path := shutil.which(name))), None)


def install_browser() -> bool:
    """From the system's packages where the user is root and apt-get is there, else Playwright's own."""
    say("The tests of the approval page drive Chromium, and this machine has none. (--no-install leaves them out.)")
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        commands = [[*INSTALL, package] for package in BROWSER_PACKAGES]
        say("Installing Chromium from the system's packages. By hand:", text(UPDATE), " || ".join(map(text, commands)))
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        worked(UPDATE, environment)
        if any(worked(command, environment) for command in commands):
            return True
    say("Downloading Playwright's Chromium into the user's cache. By hand:", text(PLAYWRIGHT))
    return worked(PLAYWRIGHT)


def install_axe() -> bool:
    """With npm, into a folder that git ignores."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    say("Installing axe-core, in tests/.axe alone. By hand:", text([npm, *NPM, AXE_VERSION]))
    return worked([npm, *NPM, AXE_VERSION]) and AXE.exists()


def find_database() -> bool:
    """Whether there is a PostgreSQL: the system's, or one in `.venv`."""
    program = "import sys; sys.path.insert(0, 'tests'); import postgres; sys.exit(postgres.programs() is None)"
    return subprocess.run([str(PYTHON), "-c", program], cwd=ROOT, capture_output=True, check=False).returncode == 0


def install_database() -> bool:
    """From the system's packages, where the user is root and apt-get is there."""
    if not (shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0):
        return False
    say("Installing PostgreSQL from the system's packages. By hand:", *map(text, POSTGRESQL))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return [worked(command, environment) for command in POSTGRESQL][-1]


def worked(command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Whether the command succeeded. Its output is shown only when it failed."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        say(f"This failed: {text(command)}", *(done.stdout + done.stderr).splitlines()[-5:])
    return done.returncode == 0


def workers() -> int:
    """Two for each processor: many tests wait, for other processes or for time to pass."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2 * processors, MAX_WORKERS)


def text(command: list[str]) -> str:
    return shlex.join(command)


def say(first: str, *indented: str) -> None:
    print(first, *(f"    {line}" for line in indented), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
