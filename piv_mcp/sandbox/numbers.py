"""Numbers: countries, list, purchase, renewal, restore.

A month is 30 days, as in the reference's examples. An automatic renewal is tried once, 24 hours before the expiry, or
immediately if it is switched on later than that. If the balance is too low at that time, the number expires.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from piv_mcp.sandbox.clock import RENEWAL_LEAD, RESTORE_WINDOW
from piv_mcp.sandbox.errors import DocumentedError, invalid
from piv_mcp.sandbox.fields import COUNTRY_CODE, CUSTOM_NAME, one_of
from piv_mcp.sandbox.prices import RESTORE_MULTIPLIER, SandboxCountry
from piv_mcp.sandbox.records import SandboxNumber
from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, data, should_fail
from piv_mcp.sandbox.wire import cents

MONTH = timedelta(days=30)
MAX_MONTHS = 120
"""The reference has no upper limit. This one keeps the expiry within the dates that Python can represent."""


def list_countries(state: State, call: RouteCall) -> RouteAnswer:
    return data(
        [
            {
                "country_code": country.country_code,
                "price_per_month": country.price_per_month,
                "base_price": country.base_price,
                "can_send_sms": country.sms_send_price is not None,
                "can_receive_sms": True,
                "sms_send_price": country.sms_send_price,
            }
            for country in state.countries.values()
            if country.for_sale
        ]
    )


def list_numbers(state: State, call: RouteCall) -> RouteAnswer:
    """Newest purchase first; `search` ignores case."""
    page = call.query.page(50, 200)
    country = call.query.text("country", COUNTRY_CODE)
    status = call.query.text("status", one_of("active", "expired", "pending_restore"))
    search = (call.query.text("search") or "").casefold()
    now = state.clock.now()
    found = [
        number
        for number in sorted(state.numbers.values(), key=lambda number: number.created_at, reverse=True)
        if country in (None, number.country_code)
        and status in (None, number.status(now))
        and search in f"{number.phone_number}\n{number.custom_name or ''}".casefold()
    ]
    shown, pagination = page.of(found)
    return data({"numbers": [_view(state, number) for number in shown], "pagination": pagination})


def get_number(state: State, call: RouteCall) -> RouteAnswer:
    return data(_view(state, find_number(state, call)))


def purchase(state: State, call: RouteCall) -> RouteAnswer:
    country = _priced(state, call.body.text("country_code", COUNTRY_CODE))
    months = call.body.integer("duration_months", 1, MAX_MONTHS)
    auto_renew = call.body.boolean("auto_renew")
    name = call.body.maybe_text("custom_name", CUSTOM_NAME)
    if not country.in_stock:
        raise DocumentedError("NO_NUMBERS_AVAILABLE", f"No numbers available in {country.country_code}")
    cost = cents(country.price_per_month * months)
    state.ledger.require(cost)
    number = add_number(state, country, expires_at=state.clock.now() + months * MONTH, name=name)
    state.ledger.charge("number.purchase", number.piv_num_id, cost)
    number.auto_renew = auto_renew
    bought = {
        "piv_num_id": number.piv_num_id,
        "country_code": number.country_code,
        "phone_number": number.phone_number,
        "created_at": number.created_at,
        "expires_at": number.expires_at,
        "auto_renew": number.auto_renew,
        "custom_name": number.custom_name,
    }
    return RouteAnswer({"cost": cost, "numbers": [bought]})


def renew(state: State, call: RouteCall) -> RouteAnswer:
    """An expired number answers NUMBER_EXPIRED, which the endpoint's table in the reference does not list."""
    months = call.body.integer("duration_months", 1, MAX_MONTHS)
    number = require_active(state, find_number(state, call))
    cost = cents(_priced(state, number.country_code).price_per_month * months)
    state.ledger.charge("number.renew", number.piv_num_id, cost)
    old = number.expires_at
    number.expires_at = old + months * MONTH
    plan_renewal(state, number)
    return data(
        {
            "piv_num_id": number.piv_num_id,
            "phone_number": number.phone_number,
            "old_expires_at": old,
            "new_expires_at": number.expires_at,
            "cost": cost,
        }
    )


def update(state: State, call: RouteCall) -> RouteAnswer:
    name = call.body.text("custom_name", CUSTOM_NAME)
    number = find_number(state, call)
    number.custom_name = name
    view = _view(state, number)
    shown = ("piv_num_id", "phone_number", "country_code", "status", "custom_name", "auto_renew")
    return data({key: view[key] for key in (*shown, "expires_at", "tags")})


def set_auto_renewal(state: State, call: RouteCall) -> RouteAnswer:
    auto_renew = call.body.boolean("auto_renew")
    number = find_number(state, call)
    number.auto_renew = auto_renew
    plan_renewal(state, number)
    return data({"piv_num_id": number.piv_num_id, "phone_number": number.phone_number, "auto_renew": auto_renew})


def restore(state: State, call: RouteCall) -> RouteAnswer:
    """Restore every number that can be restored, or none if the balance is too low. The others count as skipped."""
    ids = list(dict.fromkeys(call.body.texts("piv_num_ids")))
    if not ids:
        raise invalid("piv_num_ids", "must not be empty")
    now = state.clock.now()
    costs: dict[str, Decimal] = {}
    for piv_num_id in ids:
        number = state.numbers.get(piv_num_id)
        country = state.countries.get(number.country_code) if number else None
        if number and country and _restorable(number, now):
            costs[piv_num_id] = cents(country.price_per_month * RESTORE_MULTIPLIER)
    if not costs:
        raise DocumentedError("NO_RESTORABLE_NUMBERS", "None of the given numbers can be restored")
    total = sum(costs.values(), Decimal("0.00"))
    state.ledger.require(total)
    queued = [state.numbers[piv_num_id] for piv_num_id in costs]
    for number in queued:
        state.ledger.charge("number.restore", number.piv_num_id, costs[number.piv_num_id])
        number.restoring = True
    state.agenda.after(state.timing.restore, lambda: _finish_restore(state, queued, costs))
    return RouteAnswer(
        {
            "queued": len(queued),
            "skipped": len(ids) - len(queued),
            "total_charged": total,
            "numbers": [
                {"piv_num_id": number.piv_num_id, "phone_number": number.phone_number, "status": "pending"}
                for number in queued
            ],
        }
    )


def find_number(state: State, call: RouteCall) -> SandboxNumber:
    number = state.numbers.get(call.params["piv_num_id"])
    if number is None:
        raise DocumentedError("NUMBER_NOT_FOUND", f"Number not found: {call.params['piv_num_id']}")
    return number


def require_active(state: State, number: SandboxNumber) -> SandboxNumber:
    status = number.status(state.clock.now())
    if status == "expired":
        raise DocumentedError("NUMBER_EXPIRED", "Number has expired; restore it within 7 days or buy a new one")
    if status != "active":
        raise DocumentedError("NUMBER_NOT_ACTIVE", f"Number is {status}")
    return number


def add_number(state: State, country: SandboxCountry, expires_at: datetime, name: str | None = None) -> SandboxNumber:
    # The step is large, so that successive numbers look different, and coprime to 10, so that none repeats.
    count = state.ids.count(f"phone {country.dial}")
    serial = (int(country.dial) + count * 79_427) % 10**country.digits
    number = SandboxNumber(
        piv_num_id=state.ids.number(),
        phone_number=f"{country.dial}{serial:0{country.digits}d}",
        country_code=country.country_code,
        created_at=state.clock.now(),
        expires_at=expires_at,
        custom_name=name,
    )
    state.numbers[number.piv_num_id] = number
    plan_renewal(state, number)
    return number


def plan_renewal(state: State, number: SandboxNumber) -> None:
    """Renew 24 hours before the expiry, if automatic renewal is on, the expiry unchanged and the balance sufficient."""
    planned_for = number.expires_at

    def renew_if_wanted() -> None:
        country = state.countries.get(number.country_code)
        outdated = number.expires_at != planned_for or number.status(state.clock.now()) != "active"
        if outdated or not number.auto_renew or country is None:
            return
        try:
            state.ledger.charge("number.auto_renew", number.piv_num_id, country.price_per_month)
        except DocumentedError:
            return
        number.expires_at += MONTH
        plan_renewal(state, number)

    state.agenda.at(planned_for - RENEWAL_LEAD, renew_if_wanted)


def _finish_restore(state: State, numbers: Sequence[SandboxNumber], costs: dict[str, Decimal]) -> None:
    restored: list[dict[str, object]] = []
    failed: list[dict[str, object]] = []
    refunded = Decimal("0.00")
    for number in numbers:
        number.restoring = False
        summary: dict[str, object] = {
            "piv_num_id": number.piv_num_id,
            "phone_number": number.phone_number,
            "country": number.country_code,
        }
        if should_fail(number.custom_name):
            cost = costs[number.piv_num_id]
            state.ledger.refund("number.restore", number.piv_num_id, cost)
            refunded += cost
            failed.append({**summary, "refunded": cost})
        else:
            number.expires_at = state.clock.now() + MONTH
            plan_renewal(state, number)
            restored.append(summary)
    state.emit(
        "number.restore_completed",
        {
            "restored": restored,
            "failed": failed,
            "total_restored": len(restored),
            "total_failed": len(failed),
            "total_refunded": refunded,
        },
    )


def _restorable(number: SandboxNumber, now: datetime) -> bool:
    return number.status(now) == "expired" and now < number.expires_at + RESTORE_WINDOW


def _priced(state: State, country_code: str) -> SandboxCountry:
    country = state.countries.get(country_code)
    if country is None or not country.for_sale:
        raise DocumentedError("COUNTRY_NOT_AVAILABLE", f"Country is not available: {country_code}")
    return country


def _view(state: State, number: SandboxNumber) -> dict[str, object]:
    country = state.countries.get(number.country_code)
    return {
        "piv_num_id": number.piv_num_id,
        "phone_number": number.phone_number,
        "country_code": number.country_code,
        "status": number.status(state.clock.now()),
        "created_at": number.created_at,
        "expires_at": number.expires_at,
        "auto_renew": number.auto_renew,
        "custom_name": number.custom_name,
        "purchased_at": number.created_at,
        "next_renewal_date": number.expires_at,
        "tags": number.tags,
        "can_send_sms": country is not None and country.sms_send_price is not None,
        "can_receive_sms": True,
    }
