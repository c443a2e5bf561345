"""Errors of actions that were not carried out, or whose outcome is unknown. Each says whether money may have moved."""

from piv_mcp.errors import REFUNDED, ApiError, PivError, hint_of
from piv_mcp.spending.messages import dollars
from piv_mcp.spending.quote import Quote, quote_of
from piv_mcp.store.freezes import Freeze
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line


class UnsettledError(PivError):
    """It is unknown whether the action happened. The action is never sent again."""

    code = "OUTCOME_UNKNOWN"

    def __init__(self, entry: Entry) -> None:
        quote = quote_of(entry)
        super().__init__(
            f"{quote.action}: the request was sent and the answer was lost ({entry.problem or 'no answer'}), so the "
            f"action may or may not have happened (journal entry {entry.id})",
            hint="Do not repeat it or try another way. Call reconcile_spending, or this tool again later with "
            "the same arguments: both check what the account shows, and send nothing while the outcome is unknown",
        )

    @property
    def may_have_charged(self) -> bool:
        return True

    @property
    def money(self) -> str:
        return "Money may have moved, at most once"


class RefusedError(PivError):
    """The API refused the action: nothing was done and nothing charged. The code and the hint are those of the API's
    error, as on the tools that cost nothing."""

    def __init__(self, problem: str) -> None:
        """`problem` is what `refusal` made of the API's error."""
        code, _, reason = problem.partition(": ")
        super().__init__(f"piv.day refused it: {reason}", hint=hint_of(code))
        self.code = code

    @property
    def money(self) -> str:
        return "The charge was refunded" if self.code in REFUNDED else "Nothing was done and nothing charged"


class DeniedError(PivError):
    """The person's settings allow no spending."""

    code = "SPENDING_DENIED"


class FrozenError(PivError):
    """A person has frozen all that costs money."""

    code = "SPENDING_FROZEN"

    def __init__(self, freeze: Freeze | None) -> None:
        """`freeze`: the one that holds; None if it was lifted meanwhile."""
        state = f"is frozen {frozen_since(freeze)}" if freeze is not None else "was frozen meanwhile"
        super().__init__(
            f"all that costs money {state}, so this was not sent",
            hint="Only the person can lift the freeze: with `piv-mcp unfreeze` in a terminal of their own, or in the "
            "console. Tell them, and try no other way. What costs nothing goes on"
            if freeze is not None
            else "The freeze has been lifted: a new call asks again",
        )


def frozen_since(freeze: Freeze) -> str:
    """Since when something is frozen, and by whom, in words."""
    who = "" if freeze.by is None else f" by {one_line(freeze.by)}"
    where = "in the console" if freeze.place == "console" else "in a terminal"
    return f"since {utc(freeze.since):%Y-%m-%d %H:%M} UTC{who} {where}"


class BalanceError(PivError):
    """The balance does not cover the quote. Raised before a person is asked."""

    code = "INSUFFICIENT_BALANCE"

    def __init__(self, quote: Quote) -> None:
        super().__init__(
            f"{quote.action} costs {quote.price_words}, and the balance is {dollars(quote.balance)}",
            hint="The person can top up the balance in the piv.day dashboard. Nobody was asked to approve this",
        )


class TooManyQuestionsError(PivError):
    """An agent has asked for so much that the person has not decided on yet. Raised before one more is asked for."""

    code = "TOO_MANY_QUESTIONS"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} actions that this agent asked for wait for the person's decision: no more is put to them",
            hint="Tell the person, who decides with `piv-mcp approvals`. What they leave open ends after ten minutes",
        )


def refusal(error: ApiError) -> str:
    """An API's refusal, as the journal keeps it for later calls."""
    return f"{error.code}: {error.message}"
