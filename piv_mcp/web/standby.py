"""Watches the holder of the webhook port while this process stands by: whether it is one of ours, and whether it
answers.

Nothing is taken over from a holder that does not answer: a stopped process still gets half of the connections.
"""

from datetime import UTC, datetime

import structlog

from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.health import Holder, holder_of
from piv_mcp.web.listener import Listener, is_taken, reason
from piv_mcp.web.sharing import Sharing

SILENT_SECONDS = 3.0
"""A holder that has not answered for so long is silent. A burst of webhooks keeps none from answering for so long."""

CHECK_SECONDS = 2.0
FIRST_CHECK_SECONDS = 1.0
"""The pauses between two questions to a holder that is known to be ours, and to any other."""

OWN_LAG_SECONDS = 1.0
"""If our own timer is so late, this process had no time itself, and knows nothing of the holder."""

_log = structlog.get_logger(__name__)


class Standby:
    """What is known of the process that holds the port that `listener` waits for."""

    def __init__(self, listener: Listener, sharing: Sharing, clock: Clock = SYSTEM_CLOCK) -> None:
        self._listener = listener
        self._sharing = sharing
        self._clock = clock
        self._problem: str | None = None
        self._last: Holder = "nobody"

    def problem(self) -> str | None:
        """Why webhooks do not arrive, in a sentence; None if nothing is known to be wrong."""
        failure = self._listener.failure
        if failure is not None and not is_taken(failure):
            return f"No webhooks arrive: the webhook port {self._listener.port} cannot be opened ({reason(failure)})."
        return self._problem

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._clock.sleep(CHECK_SECONDS if self._last == "ours" else FIRST_CHECK_SECONDS)
            try:
                await self._look()
            except Exception:
                _log.exception("the holder of the webhook port could not be looked at")

    async def _look(self) -> None:
        failure = self._listener.failure
        if failure is None or not is_taken(failure):
            self._is_well("nobody")
        else:
            await self._check()

    async def _check(self) -> None:
        expected = await self._sharing.expected()
        asked_at, began = self._clock.time(), self._clock.monotonic()
        holder = await holder_of(self._listener.host, self._listener.port, expected, SILENT_SECONDS, self._clock)
        if holder == "silent":
            if self._clock.monotonic() - began < SILENT_SECONDS + OWN_LAG_SECONDS and self._last != "silent":
                await self._is_silent(asked_at)
        elif holder in ("ours", "nobody"):
            self._is_well(holder)
        elif holder in ("other", "another account's") and expected is not None:
            if self._last == holder:  # a server that has just started is asked about a second time
                self._is_not_ours(holder)
            self._last = holder

    def _is_well(self, holder: Holder) -> None:
        if self._problem is not None:
            _log.warning("webhooks can arrive again", port=self._listener.port)
        self._problem, self._last = None, holder

    async def _is_silent(self, since: float) -> None:
        at = datetime.fromtimestamp(since, UTC).strftime("%H:%M:%S")
        pid = await self._sharing.holder_pid()
        do = f"end process {pid}" if pid is not None else f"end the process that holds port {self._listener.port}"
        _log.error("the server that holds the webhook port does not answer", since=f"{at} UTC", do=do)
        self._last = "silent"
        self._problem = (
            f"The server that holds the webhook port has not answered since {at} UTC: no webhooks arrive. "
            f"The person should {do}."
        )

    def _is_not_ours(self, holder: Holder) -> None:
        port = self._listener.port
        who = (
            "another program, or a piv-mcp with another data directory, holds"
            if holder == "other"
            else ("a server that does not know this account's webhook address holds")
        )
        problem = f"No webhooks arrive: {who} port {port}. `piv-mcp doctor` says what to do."
        if problem != self._problem:
            _log.warning(f"{who} the webhook port: no webhooks arrive", port=port, do="run piv-mcp doctor")
        self._problem = problem
