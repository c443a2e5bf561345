"""Where the local web app is: on the machine's port, served by this process or another, or on a port of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp

from piv_mcp.web.host import Host

START_SECONDS = 2.0


class Health(BaseModel):
    """What `/health` answers."""

    name: Literal["piv-mcp"] = "piv-mcp"
    version: str
    store: str | None


class Presence:
    """This process's part in serving the web app. `port` is None when it is off, 0 for any free one."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int | None,
        store_id: Callable[[], Awaitable[str]],
        *,
        on_serving: Callable[[], None],
    ) -> None:
        self._app = app
        self._host = host
        self._store_id = store_id
        self._shared = None if port is None else Host(app, host, port, on_serving=on_serving)
        self._own: Host | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve if the port is free; else stand by."""
        if self._shared is not None:
            self._run(self._shared)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._shared.tried.wait(), START_SECONDS)

    def serving_at(self) -> str | None:
        """The address at which this process serves the machine's port, if it does."""
        return _url(self._shared) if self._shared is not None and self._shared.serving.is_set() else None

    async def address(self) -> str:
        """An address at which approvals of this store can be decided: served for it alone if need be."""
        if (address := self.serving_at()) is not None:
            return address
        if self._shared is not None and await self._answers(_url(self._shared)):
            return _url(self._shared)
        if self._own is None:
            self._own = Host(self._app, "127.0.0.1", 0)
            self._run(self._own)
        await self._own.serving.wait()
        return _url(self._own)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, host: Host) -> None:
        self._tasks.append(asyncio.create_task(host.run()))

    async def _answers(self, address: str) -> bool:
        """Whether a piv-mcp with our store has the port, rather than a stranger."""
        import httpx

        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
                answer = Health.model_validate_json((await http.get(f"{address}/health")).content)
        except (httpx.HTTPError, ValidationError):
            return False
        return answer.store == await self._store_id()


def _url(host: Host) -> str:
    name = f"[{host.host}]" if ":" in host.host else host.host
    # A wildcard address is where one listens, not where one goes.
    return f"http://{'127.0.0.1' if name in ('0.0.0.0', '[::]') else name}:{host.port}"  # noqa: S104
