"""Runs the tests on a machine that has only Python: `python3 tests/run.py [pytest's arguments]`.

Makes a virtual environment in `.venv`, installs the project with what its tests need, sees to a browser for those of
the approval page, and runs pytest. Standard library only.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main(arguments: list[str]) -> int:
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", str(VENV))
    run(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[dev]")
    has_browser = any(shutil.which(name) for name in BROWSERS) or install_browser()
    if not has_browser and os.environ.get("CI"):
        sys.exit("no browser could be installed, and CI leaves no test out")
    chosen = [] if has_browser else ["-m", "not browser"]
    status = subprocess.run([str(PYTHON), "-m", "pytest", *chosen, *arguments], cwd=ROOT, check=False).returncode
    if not has_browser:
        print("LEFT OUT: the tests of the approval page, since no Chromium could be found or installed.")
    return status


def install_browser() -> bool:
    """From the system's packages where we may, else Playwright's own."""
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quietly(["apt-get", "update"], environment)
        if quietly(["apt-get", "install", "-y", "--no-install-recommends", "chromium"], environment):
            return True
    return quietly([str(PYTHON), "-m", "playwright", "install", "chromium"])


def quietly(command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Says whether it worked; what it printed is nobody's business."""
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    return done.returncode == 0


def run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
