"""Why an action was not carried out, or why nobody knows whether it was. Each error says what is known of money."""

from piv_mcp.errors import ApiError, PivError
from piv_mcp.spending.quote import Quote, dollars
from piv_mcp.store.journal import Entry


class UnsettledError(PivError):
    """Whether the action happened is not known. It is never sent again."""

    code = "OUTCOME_UNKNOWN"

    def __init__(self, entry: Entry) -> None:
        quote = Quote.model_validate_json(entry.quote)
        super().__init__(
            f"{quote.action}: it was sent and the answer was lost ({entry.problem or 'no answer'}), so it may or may "
            f"not have happened (journal entry {entry.id})",
            hint="Do not repeat it or try another way: reconcile_spending, or later the same call, looks at what the "
            "account shows, and sends nothing while the outcome is unknown",
        )

    @property
    def may_have_charged(self) -> bool:
        return True

    @property
    def money(self) -> str:
        return "Money may have moved, once at most"


class RefusedError(PivError):
    """The API said no: nothing was done and nothing charged."""

    code = "REFUSED"

    @property
    def money(self) -> str:
        return "Nothing was charged"


class DeniedError(PivError):
    """The person's settings allow no spending."""

    code = "SPENDING_DENIED"


class BalanceError(PivError):
    """The balance does not cover the quote: said before anybody is asked."""

    code = "INSUFFICIENT_BALANCE"

    def __init__(self, quote: Quote) -> None:
        super().__init__(
            f"{quote.action} costs {quote.price_words}, and the balance is {dollars(quote.balance)}",
            hint="The person tops up the balance in the piv.day dashboard; nobody was asked to approve this",
        )


def refusal(error: ApiError) -> str:
    """What the journal keeps of an API's no, for those who ask later."""
    return f"{error.code}: {error.message}"
