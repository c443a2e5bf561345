"""Logging: structlog to stderr, with every known secret redacted.

Nothing is logged to stdout, which carries the protocol. Log lines of libraries that use the standard library's
`logging` are redacted and written in the same way.
"""

import logging
import queue
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

REDACTED = "[redacted]"

# Secrets that were not added to the redactor: bearer tokens, those of agents, the secret in a webhook's path, tokens in
# a query.
_SHAPES = re.compile(
    r"(?i)(bearer\s+)[^\s\"',]+|(/webhooks/)[^\s\"'/?]+|([?&](?:t|token|key)=)[^\s\"'&]+|(piv_agent_)[\w-]+"
)

# Characters that could move a terminal's cursor or reorder a line: logs also hold text written by strangers.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")

CHATTY = ("mcp.server.streamable_http", "mcp.server.streamable_http_manager")
"""Log a line at INFO for each request over HTTP, which says nothing."""

LINES_AHEAD = 1_000
"""Log lines that may wait to be written in the background."""


class Redactor:
    """A structlog processor that replaces secrets in log lines, at any depth of their values."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secret: str) -> None:
        """Redact this text from now on, unless it has fewer than 4 characters: those occur in ordinary text, too."""
        if len(secret) >= 4 and secret not in self._secrets:
            self._secrets.append(secret)

    def text(self, value: str) -> str:
        for secret in self._secrets:
            value = value.replace(secret, REDACTED)
        value = _SHAPES.sub(lambda m: f"{m[1] or m[2] or m[3] or m[4]}{REDACTED}", value)
        return _CONTROLS.sub(lambda m: f"\\u{ord(m[0]):04x}", value)

    def _clean(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            items = cast(Mapping[object, object], value).items()
            return {self._clean(key): self._clean(item) for key, item in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item) for item in cast(Iterable[object], value)]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(str(value))

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return cast("MutableMapping[str, Any]", self._clean(event))


class BackgroundHandler(logging.Handler):
    """Writes in a thread, so that nobody who logs waits: standard error can be a pipe that its reader has forgotten.

    Lines that the stream does not take in time are left out. `flush` waits for the others, without a limit.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._texts: queue.Queue[str] = queue.Queue(LINES_AHEAD)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self._texts.put_nowait(self.format(record))

    def flush(self) -> None:
        self._texts.join()

    def _write(self) -> None:
        while True:
            text = self._texts.get()
            with suppress(OSError, ValueError):
                self._stream.write(text + "\n")
                self._stream.flush()
            self._texts.task_done()


def configure(
    level: str = "INFO", form: str = "json", stream: TextIO | None = None, *, background: bool = False
) -> Redactor:
    """Set up logging for the whole process. Add each secret to the returned redactor as soon as it is known.

    `background`: see `BackgroundHandler`. Flush the log then before the process ends.
    """
    redactor = Redactor()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    # A standard error that was closed at the start is None.
    to = stream or cast("TextIO | None", sys.stderr)
    handler = BackgroundHandler(to) if background and to else logging.StreamHandler(to)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redactor, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # At INFO these log a line for each request, with the whole URL and so with the secret in its path.
    for chatty in (*CHATTY, "httpx", "httpcore", "httpx2", "httpcore2", "uvicorn.access", "uvicorn.error", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    return redactor


def flush() -> None:
    """Wait until everything that was logged is written."""
    for handler in logging.getLogger().handlers:
        handler.flush()
