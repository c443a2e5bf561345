"""What the tools that read and wait for what comes have in common."""

from typing import Annotated

from pydantic import Field

from piv_mcp.inbox import wait
from piv_mcp.tools.parameters import limited
from piv_mcp.tools.reader import CURSOR
from piv_mcp.tools.spec import Ctx

After = Annotated[
    str,
    limited(1000, least=0, form=CURSOR, words="the after of an earlier answer, such as c1k3J9xQE"),
    Field(description="The after of the previous answer: continues without a gap."),
]
Timeout = Annotated[
    float,
    Field(ge=0, le=300, description="Above 50, clients with a 60 s limit may give up: wait again instead."),
]


def progress(ctx: Ctx, what: str) -> wait.Progress:
    async def report(waited: float, seconds: float) -> None:
        await ctx.report_progress(waited, seconds, f"{what} ({waited:.0f} of {seconds:.0f} s)")

    return report


def join(*parts: str | None) -> str | None:
    return " ".join(part for part in parts if part) or None
