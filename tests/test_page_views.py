"""Whether a process opens the approval page: not while a page is open, or just being opened, in any process."""

import pytest
from moving_clock import MovingClock

from piv_mcp.spending.approval.page_views import PageViews
from piv_mcp.store import Store


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock(speed=0)


@pytest.fixture
def views(store: Store, clock: MovingClock) -> PageViews:
    return PageViews(store, clock)


async def test_a_browser_has_fifteen_seconds_to_show_the_page_before_another_is_opened(
    views: PageViews, clock: MovingClock
) -> None:
    assert await views.claim()
    clock.advance(14)
    assert not await views.claim()
    clock.advance(2)
    assert await views.claim()


async def test_a_page_that_was_looked_at_is_open_for_fifteen_seconds_more(views: PageViews, clock: MovingClock) -> None:
    assert await views.claim()
    clock.advance(60)
    await views.seen()
    clock.advance(14)
    assert not await views.claim()
    clock.advance(2)
    assert await views.claim()


async def test_where_no_browser_could_be_opened_the_next_one_tries_at_once(views: PageViews) -> None:
    assert await views.claim()
    await views.not_opened()
    assert await views.claim()


async def test_a_page_that_was_last_looked_at_before_the_question_does_not_show_it(
    views: PageViews, clock: MovingClock
) -> None:
    assert await views.claim()
    clock.advance(60)
    await views.seen()
    clock.advance(5)
    put_at = clock.time()
    assert not await views.claim()
    assert await views.claim(seen_since=put_at)
    clock.advance(60)
    await views.seen()
    assert not await views.claim(seen_since=put_at)
