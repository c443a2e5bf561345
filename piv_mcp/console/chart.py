"""The chart of what was charged: bars by day or month, each in parts by area. Money stays decimal; only places on the
drawing are rounded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from piv_mcp.config import Area
from piv_mcp.store.spending_sums import Sum
from piv_mcp.text.language import Language

MOST_DAYS = 92
"""Bars of single days; what is longer is drawn by months."""

HEIGHT, STEP, WIDTH = 100, 10, 7
"""Of the drawing, between the beginnings of two bars, and of a bar: in units of the drawing."""

COSTLY: tuple[Area, ...] = ("numbers", "proxies", "domains", "whites")
"""The areas in which something can cost money, from the foot of a bar to its head."""


@dataclass(frozen=True, slots=True)
class BarPart:
    """What was charged in one area: `y` is its upper edge."""

    area: str
    amount: Decimal
    y: Decimal
    height: Decimal


@dataclass(frozen=True, slots=True)
class Bar:
    """One day or month."""

    title: str
    x: Decimal
    total: Decimal
    amounts: dict[str, Decimal]
    parts: Sequence[BarPart]


@dataclass(frozen=True, slots=True)
class Chart:
    """`top` is the amount at the upper edge. `ends` are the titles below the first, the middle and the last bar."""

    bars: Sequence[Bar]
    areas: Sequence[str]
    top: Decimal
    by_month: bool
    width: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", max(1, len(self.bars)) * STEP)

    @property
    def ends(self) -> tuple[str, str, str]:
        return self.bars[0].title, self.bars[len(self.bars) // 2].title, self.bars[-1].title


def chart(sums: Sequence[Sum], first: date, last: date, language: Language) -> Chart:
    """The chart of these sums, from the `first` to the `last` day. A sum of another day has its bar as well."""
    days = {first + timedelta(days=n) for n in range((last - first).days + 1)}
    days |= {date.fromisoformat(item.day) for item in sums}
    by_month = len(days) > MOST_DAYS
    amounts: dict[date, dict[str, Decimal]] = {_bucket(day, by_month=by_month): {} for day in sorted(days)}
    for item in sums:
        of_bar = amounts[_bucket(date.fromisoformat(item.day), by_month=by_month)]
        of_bar[item.area] = of_bar.get(item.area, Decimal(0)) + item.charged
    used = {item.area for item in sums if item.charged}
    areas = [*(area for area in COSTLY if area in used), *sorted(used.difference(COSTLY))]
    top = _round_top(max((sum(of_bar.values(), Decimal(0)) for of_bar in amounts.values()), default=Decimal(0)))
    title = language.month if by_month else language.day
    bars = [
        Bar(
            title(day),
            Decimal(n * STEP) + Decimal(STEP - WIDTH) / 2,
            sum(of_bar.values(), Decimal(0)),
            of_bar,
            _parts(of_bar, areas, top),
        )
        for n, (day, of_bar) in enumerate(amounts.items())
    ]
    return Chart(bars, areas, top, by_month)


def _bucket(day: date, *, by_month: bool) -> date:
    return day.replace(day=1) if by_month else day


def _parts(amounts: dict[str, Decimal], areas: Sequence[str], top: Decimal) -> list[BarPart]:
    parts: list[BarPart] = []
    below = Decimal(0)
    for area in areas:
        amount = amounts.get(area, Decimal(0))
        if amount > 0:
            foot, below = below, below + amount
            y = HEIGHT - _place(below, top)
            parts.append(BarPart(area, amount, y, HEIGHT - _place(foot, top) - y))
    return parts


def _place(amount: Decimal, top: Decimal) -> Decimal:
    return (amount / top * HEIGHT).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _round_top(most: Decimal) -> Decimal:
    """The next amount of 1, 2 or 5, with zeros, that is not below `most`."""
    if most <= 0:
        return Decimal(1)
    size = Decimal(10) ** most.adjusted()
    return next(size * first for first in (1, 2, 5, 10) if size * first >= most)
