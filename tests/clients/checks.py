"""What the clients written in Python share: the plan, servers to talk to, and the count of what was checked."""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, cast

SERVER = os.environ.get("WALL_SERVER", "")
"""The command that serves over stdio."""

_counts = {"checked": 0, "failed": 0}


@cache
def plan() -> dict[str, Any]:
    """What calls.py printed."""
    return json.loads(Path(os.environ["WALL_PLAN"]).read_text("utf-8"))


def check(what: str, holds: object, detail: object = "") -> None:
    _counts["checked"] += 1
    if not holds:
        _counts["failed"] += 1
        print(f"FAILED {what}: {detail}")


def equal(what: str, found: object, wanted: object) -> None:
    check(what, found == wanted, f"found {found!r}, wanted {wanted!r}")


async def attempt(what: str, action: Callable[[], Awaitable[object]]) -> None:
    """Count an exception as a failure of what was being done, and go on with the next."""
    try:
        await action()
    except Exception:
        check(what, False, traceback.format_exc())


def report() -> NoReturn:
    """The last line tells the runner how many checks there were."""
    print(f"{_counts['checked']} checks, {_counts['failed']} failed")
    sys.exit(_counts["failed"] > 0)


def settings(**changed: str) -> dict[str, str]:
    """The environment of a server with an account and a store of its own."""
    home = tempfile.mkdtemp(prefix="server-", dir=os.environ["WALL_HOME"])
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "PIV_SANDBOX": "true",
        "PIV_DATA_DIR": home,
        "PIV_WEBHOOK_PORT": "0",
        "PIV_CONFIRM_CHANNEL": "elicit",
        "PIV_LOG_LEVEL": "WARNING",
        **changed,
    }


BUDGET = {
    "PIV_SPEND_MODE": "budget",
    "PIV_AUTO_APPROVE_MAX": "1000",
    "PIV_DAILY_BUDGET": "1000",
    "PIV_CONFIRM_DESTRUCTIVE": "false",
}
"""Nobody is asked, except about prices that are not known."""


def filled(values: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments, with what earlier answers told."""

    def value(given: object) -> object:
        if not (isinstance(given, dict) and "answer_of" in given):
            return cast(object, given)
        wanted = cast("dict[str, Any]", given)
        found = answers[wanted["answer_of"]]
        for key in cast("Sequence[str]", wanted["path"]):
            found = found[key]
        return found

    return {name: value(given) for name, given in values.items()}
