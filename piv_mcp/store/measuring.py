"""Measures the store's jobs, for the metrics."""

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar, cast

from piv_mcp import metrics
from piv_mcp.errors import StoreError

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


def measured(operation: str) -> Callable[[Method], Method]:
    """Measure how long a method takes, and count its `StoreError`s. A job's own errors are none of the store."""

    def of(method: Method) -> Method:
        @wraps(method)
        async def run(*args: Any, **kwargs: Any) -> Any:
            if not metrics.is_on():
                return await method(*args, **kwargs)
            started = time.monotonic()
            try:
                return await method(*args, **kwargs)
            except StoreError:
                metrics.STORE_ERRORS.add(operation)
                raise
            finally:
                metrics.STORE_SECONDS.add(operation, amount=time.monotonic() - started)

        return cast("Method", run)

    return of
