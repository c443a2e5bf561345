"""Logging: structlog to stderr, with every known secret cut out on the way.

stdout belongs to the protocol. Libraries that log through the standard library end at the same place, through the same
redaction.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog

REDACTED = "[redacted]"

# Secrets that nobody registered: bearer tokens, the secret in a webhook's path, tokens in a query.
_SHAPES = re.compile(r"(?i)(bearer\s+)[^\s\"',]+|(/webhooks/)[^\s\"'/?]+|([?&](?:t|token|key)=)[^\s\"'&]+")


# What could move a terminal's cursor or reorder its line: text logs show what strangers sent, too.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


class Redactor:
    """Replaces secrets in everything that is logged, at any depth."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secret: str) -> None:
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
    """Set up logging for the whole process; secrets are told to the returned redactor as they become known."""
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
    # These log whole addresses at INFO, the secret path segment included, and a line for each request.
    for chatty in ("httpx", "httpcore", "httpx2", "httpcore2", "uvicorn.access", "uvicorn.error", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    return redactor
