"""Measures the store's jobs, for the metrics."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from piv_mcp import metrics
from piv_mcp.errors import PivError, StoreError


@contextmanager
def measured(operation: str) -> Generator[None]:
    """Measure how long a job takes from its handing over to its outcome, and count those that the store could not do.
    What a job itself raises is no fault of the store's."""
    if not metrics.is_on():
        yield
        return
    started = time.monotonic()
    try:
        yield
    except Exception as error:
        if isinstance(error, StoreError) or not isinstance(error, PivError):
            metrics.STORE_ERRORS.add(operation)
        raise
    finally:
        metrics.STORE_SECONDS.add(operation, amount=time.monotonic() - started)
