"""The journal of spending: who executes an entry, until when, and what an approval allows."""

from decimal import Decimal
from typing import Any

import pytest
from moving_clock import MovingClock

from piv_mcp.api.numbers import PurchaseNumber
from piv_mcp.spending.actions.numbers import PurchaseNumberAction
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.spending.messages import message
from piv_mcp.spending.quote import Price, Quote
from piv_mcp.spending.receipt import difference
from piv_mcp.store import Store, leases, limits
from piv_mcp.store import journal as entries
from piv_mcp.store.journal import Entry, State
from piv_mcp.store.limits import Budget, Limit

ACTION = PurchaseNumberAction(request=PurchaseNumber(country_code="SE", duration_months=1, auto_renew=False))
QUOTE = Quote(headline=message("text", text="Rent a number"), price=Price(amount=Decimal("4.00")))

# As it is promised, and not as the code has it.
TEN_MINUTES = 600
TWO_MINUTES = 120
AN_HOUR = 3600

linux_only = pytest.mark.skipif(
    not leases.this_process().partition(":")[2], reason="the start of a process is not told"
)


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock(speed=0)


@pytest.fixture
def journal(store: Store, clock: MovingClock) -> Journal:
    return Journal(store, clock)


def of_a_day(needed: Decimal, amount: int) -> Budget:
    return Budget(needed, (Limit("day", Decimal(amount)),))


async def approved(journal: Journal, *, budget: Decimal | None = None) -> Entry:
    entry = await journal.propose(ACTION, QUOTE, budget=None if budget is None else of_a_day(budget, 4))
    if budget is None:
        assert await journal.decide(entry.id, "approve", by="page")
    return await journal.reload(entry)


async def executing(journal: Journal, owner: str | None = None) -> Entry:
    """An entry that a process executes: this one, or the `owner`."""
    entry = await approved(journal)
    journal.owner, own = owner or journal.owner, journal.owner
    assert await journal.claim(entry.id, "{}")
    journal.owner = own
    return await journal.reload(entry)


async def state_of(journal: Journal, entry: Entry) -> str:
    return (await journal.reload(entry)).state


# --- the process that executes an entry


@linux_only
async def test_a_process_that_has_the_id_of_a_dead_one_does_not_execute_its_entry(journal: Journal) -> None:
    pid, _, started = leases.this_process().partition(":")
    entry = await executing(journal, f"{pid}:{int(started) - 1}")
    assert [found.id for found in await journal.recover()] == [entry.id]


async def test_an_execution_of_another_process_is_believed_for_a_while_and_then_no_more(
    journal: Journal, clock: MovingClock
) -> None:
    """The process lives, and has forgotten the entry."""
    entry = await executing(journal, f"{journal.store.process}:another")
    clock.advance(TWO_MINUTES)
    assert await journal.recover() == []
    clock.advance(1)
    assert [found.id for found in await journal.recover()] == [entry.id]


async def test_what_this_process_executes_is_its_own_until_it_is_released(journal: Journal, clock: MovingClock) -> None:
    entry = await executing(journal)
    clock.advance(10 * TWO_MINUTES)
    assert await journal.recover() == []
    journal.release(entry.id)
    assert [found.id for found in await journal.recover()] == [entry.id]


async def test_a_claim_that_came_to_nothing_leaves_nothing_that_runs(journal: Journal, clock: MovingClock) -> None:
    """Another process claims the entry first, and dies."""
    entry = await executing(journal, "999999999:1")
    assert not await journal.claim(entry.id, "{}")
    mine = Journal(journal.store, clock)
    await mine.store.write(lambda c: c.execute("UPDATE spending SET owner = ?", (journal.owner,)))
    assert [found.id for found in await journal.recover()] == [entry.id]


# --- an approval


@pytest.mark.parametrize("budget", [None, Decimal(4)], ids=["person", "budget"])
async def test_an_approval_starts_nothing_once_it_has_expired(
    journal: Journal, clock: MovingClock, budget: Decimal | None
) -> None:
    entry = await approved(journal, budget=budget)
    clock.advance(TEN_MINUTES)
    assert not await journal.claim(entry.id, "{}")
    assert await state_of(journal, entry) == "approved"
    await journal.expire()
    assert await state_of(journal, entry) == "expired"


async def test_an_approval_starts_one_execution_until_the_moment_of_its_end(
    journal: Journal, clock: MovingClock
) -> None:
    entry = await approved(journal)
    clock.advance(TEN_MINUTES - 1)
    assert await journal.claim(entry.id, "{}")
    assert not await journal.claim(entry.id, "{}")


async def test_a_quote_is_decided_once_and_only_while_it_is_valid(journal: Journal, clock: MovingClock) -> None:
    entry = await journal.propose(ACTION, QUOTE, budget=None)
    assert await journal.decide(entry.id, "approve", by="page")
    assert not await journal.decide(entry.id, "decline", by="terminal")
    assert await state_of(journal, entry) == "approved"
    clock.advance(TEN_MINUTES)
    later = await journal.propose(ACTION, QUOTE, budget=None)
    assert later.id != entry.id
    clock.advance(TEN_MINUTES)
    assert not await journal.decide(later.id, "approve", by="page")
    assert await state_of(journal, later) == "expired"


async def test_only_what_the_budget_approved_can_be_withdrawn(journal: Journal, clock: MovingClock) -> None:
    """The approval of a person stays good."""
    entry = await approved(journal)
    await journal.withdraw(entry.id)
    assert await state_of(journal, entry) == "approved"
    clock.advance(TEN_MINUTES)
    entry = await approved(journal, budget=Decimal(4))
    assert await journal.left([Limit("day", Decimal(4))]) == [0]
    await journal.withdraw(entry.id)
    assert await state_of(journal, entry) == "expired"
    assert await journal.left([Limit("day", Decimal(4))]) == [4]


# --- an outcome


@pytest.mark.parametrize("state", ["charged", "not_charged", "refused"])
async def test_an_outcome_that_nobody_was_told_is_what_the_next_equal_call_gets(journal: Journal, state: State) -> None:
    entry = await executing(journal)
    assert await journal.end(entry.id, Ending(state, problem="X: no"))
    found = await journal.find_open(ACTION)
    assert found is not None
    assert (found.id, found.state) == (entry.id, state)
    proposed = await journal.propose(ACTION, QUOTE, budget=of_a_day(Decimal(4), 99))
    assert proposed.id == entry.id
    await journal.report(entry.id)
    assert await journal.find_open(ACTION) is None


async def test_a_known_outcome_is_final_and_an_unknown_one_is_replaced(journal: Journal) -> None:
    entry = await executing(journal)
    assert await journal.end(entry.id, Ending("unknown"))
    assert await journal.settle(entry.id, Ending("not_charged"))
    assert not await journal.end(entry.id, Ending("unknown"))
    assert await journal.end(entry.id, Ending("charged", charged=Decimal(4)))
    for later in (Ending("refused"), Ending("charged", charged=Decimal(0)), Ending("unknown")):
        assert not await journal.end(entry.id, later)
    assert not await journal.settle(entry.id, Ending("not_charged"))
    found = await journal.reload(entry)
    assert (found.state, found.charged) == ("charged", "4")


@pytest.mark.parametrize(("charge", "is_more"), [("3.99", False), ("4.00", False), ("4.01", True), ("40.00", True)])
async def test_a_cent_above_the_quote_is_an_overcharge(journal: Journal, charge: str, is_more: bool) -> None:
    entry = await executing(journal)
    await journal.end(entry.id, Ending("charged", charged=Decimal(charge)))
    found = await journal.overcharged(ACTION)
    assert (found is not None) is is_more


def ended(number: int, price: str | None, charged: str | None, **others: Any) -> Entry:
    return Entry(
        id=f"sp_{number}",
        kind=ACTION.kind,
        area="numbers",
        arguments="{}",
        fingerprint=str(number),
        state="charged",
        quote="{}",
        price=price,
        charged=charged,
        quoted_at=0,
        expires_at=0,
        **others,
    )


async def test_the_latest_overcharge_is_told_and_nothing_free_counts_as_one(store: Store) -> None:
    amounts = [("4.00", "40.00"), ("4.00", "41.00"), ("4.00", "4.00"), (None, None)]
    for number, (price, charged) in enumerate(amounts):
        await store.write(entries.insert, ended(number, price, charged))
    found = await store.read(entries.overcharged, ACTION.kind)
    assert found is not None
    assert found.charged == "41.00"


async def test_the_budget_counts_the_larger_of_price_and_charge(store: Store) -> None:
    amounts = [("4.00", "5.50"), ("4.00", "3.00"), ("4.00", None), (None, "2.00")]
    for number, (price, charged) in enumerate(amounts):
        await store.write(entries.insert, ended(number, price, charged, decided_by="budget", decided_at=10.0))
    await store.write(entries.insert, ended(8, "100", "100", decided_by="page", decided_at=10.0))
    await store.write(entries.insert, ended(9, "100", "100", decided_by="budget", decided_at=9.0))
    assert await store.read(limits.reserved, 9.0, Limit("day", Decimal(0))) == Decimal("15.50")


@pytest.mark.parametrize(
    ("charge", "words"),
    [
        (None, "compare the balance and tell the person"),
        ("3.99", "3.99 USD was charged, 0.01 USD less than quoted"),
        ("4.00", None),
        ("4.01", "4.01 USD was charged, 0.01 USD more than quoted"),
    ],
)
async def test_any_difference_from_the_quote_is_told_in_the_right_direction(
    journal: Journal, charge: str | None, words: str | None
) -> None:
    entry = await executing(journal)
    await journal.end(entry.id, Ending("charged", charged=None if charge is None else Decimal(charge)))
    told = difference(await journal.reload(entry))
    assert told is None if words is None else told is not None and words in told


async def test_for_an_hour_the_budget_does_not_repeat_what_may_still_come(journal: Journal, clock: MovingClock) -> None:
    entry = await executing(journal)
    await journal.end(entry.id, Ending("unknown"))
    await journal.settle(entry.id, Ending("not_charged"))
    await journal.report(entry.id)

    async def state_of_a_new_one() -> str:
        found = await journal.propose(ACTION, QUOTE, budget=of_a_day(Decimal(4), 4))
        await journal.store.write(lambda c: c.execute("DELETE FROM spending WHERE id = ?", (found.id,)))
        return found.state

    clock.advance(AN_HOUR - 1)
    assert [found.id for found in await journal.recently_not_charged()] == [entry.id]
    assert await state_of_a_new_one() == "quoted"
    clock.advance(1)
    assert await journal.recently_not_charged() == []
    assert await state_of_a_new_one() == "approved"
