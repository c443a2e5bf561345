"""A person at a pseudo-terminal, in which a command runs."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from harness import until


class Terminal:
    """A person at a terminal in which the command runs."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self.screen = ""
        self._master = master

    def read(self) -> None:
        data = b""
        with suppress(OSError):  # the other end is closed
            data = os.read(self._master, 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self.screen += data.decode(errors="replace")

    async def sees(self, pattern: str, times: int = 1) -> list[str]:
        """What the pattern's groups were, once it was shown for the nth time."""

        def shown() -> list[re.Match[str]]:
            return list(re.finditer(pattern, self.screen))[times - 1 :]

        try:
            found = await until(shown, seconds=20, what=repr(pattern))
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen ends with {self.screen[-500:]!r}") from None
        return [group or "" for group in found[0].groups()]

    def types(self, text: str) -> None:
        os.write(self._master, f"{text}\n".encode())


@asynccontextmanager
async def terminal(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None, stdout: int | None = None
) -> AsyncGenerator[Terminal]:
    """Python with these arguments, in a terminal that ends with the block."""
    master, slave = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=slave, stdout=stdout or slave, stderr=slave, env=env, cwd=cwd
    )
    os.close(slave)
    person = Terminal(process, master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, person.read)
    try:
        yield person
    finally:
        loop.remove_reader(master)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)
