"""`piv-mcp doctor --webhook-url`: sends a test event through the outside address, and says how far it came."""

import json
import secrets
import time
from datetime import UTC, datetime

from piv_mcp.api import probe
from piv_mcp.api.credentials import checked_base_url
from piv_mcp.cli.findings import Finding
from piv_mcp.store import Store, facts
from piv_mcp.web.webhook_endpoint import TEST_EVENT

WHAT = "outside address"
_TUNNEL_SECONDS = 15.0
"""piv.day waits 5 s for an answer. What comes later is told, too."""
_PATIENCE = 5.0
_PATH = "/webhooks/"


async def check(url: str, secret: str, local: str, store: Store) -> Finding:
    """Send a test event to this address. `local` is where a tunnel is to forward to.

    `url` is the tunnel's address, or the whole address of the webhook with its secret, which no answer repeats.
    """
    try:
        base = checked_base_url(url)
    except ValueError:
        problem = "not a plain https address (http only to this machine), without user name, query and fragment"
        return Finding(WHAT, False, problem, "give the tunnel's address: --webhook-url https://YOUR-TUNNEL")
    before, _, given = base.removesuffix(_PATH.rstrip("/")).partition(_PATH)
    if given and not secrets.compare_digest(given.encode(), secret.encode()):
        advice = "correct it in the piv.day dashboard too: the right one is said at the webhook endpoint"
        return Finding(WHAT, False, "its secret is not the one of this data directory and account", advice)
    nonce = secrets.token_hex(16)
    event = {"event_type": TEST_EVENT, "timestamp": datetime.now(UTC).isoformat(), "data": {"text": nonce}}
    began = time.monotonic()
    reached = await probe.post(
        f"{before}{_PATH}{secret}", event, name="the host of --webhook-url", patience=_TUNNEL_SECONDS
    )
    seconds = time.monotonic() - began
    if isinstance(reached, str):
        advice = "start the tunnel, and check its address; from within a network an outside address can be closed"
        return Finding(WHAT, False, f"the test event did not reach the tunnel: {reached}", advice)
    arrived = await store.read(facts.get, facts.WEBHOOK_TEST) == nonce
    return _judge(reached, arrived, seconds, local)


def _judge(reached: probe.Reached, arrived: bool, seconds: float, local: str) -> Finding:
    status = reached.status
    if arrived and 200 <= status < 300:
        told = f"a test event came through to the store, and was acknowledged after {seconds:.1f} s"
        if seconds > _PATIENCE:
            return Finding(WHAT, False, f"{told}; piv.day waits {_PATIENCE:.0f} s", "use a tunnel that is nearer")
        return Finding(WHAT, True, told)
    if arrived:
        return Finding(
            WHAT, False, f"the test event is in the store, and the answer on the way back is {status}", _TUNNEL
        )
    if _is_ours(reached.body):
        if status == 404:
            state = "a piv-mcp answers there that does not know this secret"
            return Finding(WHAT, False, state, "end it, or give it this data directory; then run this again")
        if 200 <= status < 300:
            state = "a piv-mcp answers there that keeps another store, or an older one that knows no test event"
            return Finding(WHAT, False, state, "run one version, with one data directory, on this machine")
        return Finding(
            WHAT, False, f"a piv-mcp answers there, and could not store the event (status {status})", "see the store"
        )
    return Finding(
        WHAT, False, f"the tunnel answers, and the event came no further: {_meaning(status)}", _forward(local)
    )


_TUNNEL = "look at the tunnel's log: piv.day sends an event again that is not acknowledged"


def _forward(local: str) -> str:
    return f"see that a receiver runs (`piv-mcp install receiver`), and that the tunnel forwards to http://{local}"


def _meaning(status: int) -> str:
    match status:
        case 401 | 403:
            return f"status {status}, it asks for a sign-in that piv.day does not have"
        case 404 | 405 | 410:
            return f"status {status}, it leads to another program or to none"
        case _ if 300 <= status < 400:
            return f"status {status}, it sends callers elsewhere, where piv.day does not follow"
        case _ if status >= 500:
            return f"status {status}, nothing answers behind it"
        case _:
            return f"status {status} from another program"


def _is_ours(body: bytes) -> bool:
    """Whether the answer has the form of the receiver's."""
    try:
        answer: object = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and "ok" in answer
