"""Logging: structlog to stderr, with every known secret redacted.

Nothing is logged to stdout, which carries the protocol. Log lines of libraries that use the standard library's
`logging` are redacted and written in the same way.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog

REDACTED = "[redacted]"

# Secrets that were not added to the redactor: bearer tokens, the secret in a webhook's path, tokens in a query.
_SHAPES = re.compile(r"(?i)(bearer\s+)[^\s\"',]+|(/webhooks/)[^\s\"'/?]+|([?&](?:t|token|key)=)[^\s\"'&]+")

# Characters that could move a terminal's cursor or reorder a line: logs also hold text written by strangers.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


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
        value = _SHAPES.sub(lambda m: f"{m[1] or m[2] or m[3]}{REDACTED}", value)
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


def configure(level: str = "INFO", form: str = "json", stream: TextIO | None = None) -> Redactor:
    """Set up logging for the whole process. Add each secret to the returned redactor as soon as it is known."""
    redactor = Redactor()
    shared: list[structlog.typing.Processor] = [
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
    handler = logging.StreamHandler(stream or sys.stderr)
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
    for chatty in ("httpx", "httpcore", "httpx2", "httpcore2", "uvicorn.access", "uvicorn.error", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    return redactor
