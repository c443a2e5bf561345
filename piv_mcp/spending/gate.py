"""The gate that every spending or irreversible action passes: approval first, then exactly one execution."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from piv_mcp.errors import ApiError, OutcomeUnknownError, PivError, StoreError
from piv_mcp.spending import actions
from piv_mcp.spending.actions.base import Action, Sources
from piv_mcp.spending.approval.channels import Person
from piv_mcp.spending.approval.flow import ApprovalFlow
from piv_mcp.spending.errors import BalanceError, DeniedError, FrozenError, RefusedError, UnsettledError, refusal
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.spending.messages import Message, message
from piv_mcp.spending.policy import Policy
from piv_mcp.spending.quote import Argument, Quote, dearer, quote_of
from piv_mcp.spending.receipt import UNSAID, Receipt, about, receipt
from piv_mcp.spending.reconcile.reconciler import Reconciler
from piv_mcp.spending.reconcile.snapshot import Snapshot
from piv_mcp.store.agents import Agent
from piv_mcp.store.changes import Changes
from piv_mcp.store.freezes import FROZEN
from piv_mcp.store.journal import Entry
from piv_mcp.store.view import View

if TYPE_CHECKING:
    from piv_mcp.api.client import PivClient

REPETITION_SECONDS = 3600.0
"""The question to a person mentions an equal action if it is younger than this, in seconds."""

UNASKED = "Nobody was asked: the person has turned off confirming what costs nothing"

CLOSE_SECONDS = 0.5
"""How long a server that stops waits for the answers to what it has sent."""

_log = structlog.get_logger(__name__)


class Gate:
    """Carries out actions, each through `perform`."""

    def __init__(
        self,
        sources: Sources,
        journal: Journal,
        policy: Policy,
        approval: ApprovalFlow,
        changes: Changes,
        reconciler: Reconciler,
        wake_reconciler: Callable[[], None],
        view: View,
    ) -> None:
        """`reconciler` settles entries during calls; `wake_reconciler` wakes the one that runs in the background.
        `view` is the store as the caller has it."""
        self._sources = sources
        self._shown = sources
        """As the caller sees the account: what is quoted and sent. What is looked for afterwards sees everything."""
        self.journal = journal
        self.policy = policy
        self._approval = approval
        self._changes = changes
        self.reconciler = reconciler
        self._wake_reconciler = wake_reconciler
        self._view = view
        self._executions: dict[str, asyncio.Task[Entry]] = {}
        self._waiting: Counter[str] = Counter()

    def acting_for(self, agent: Agent, api: "PivClient", view: View) -> "Gate":
        """The same gate for an agent with limits of its own, who sees this of the account and of the store."""
        other = copy(self)
        other.journal, other.policy = self.journal.of(agent.name), self.policy.narrowed_to(agent)
        other._shown, other._view = replace(self._sources, api=api), view
        return other

    async def perform(self, action: Action, person: Person) -> Receipt:
        """Carry out `action` if a person or their budget approves it; one approval allows one execution.

        Raises:
            AskFirst: the client must ask the person and repeat the call.
            UnsettledError: the action, or an equal one before it, was sent, and its outcome is unknown.
            RefusedError: the API refused the action.
            ApiError: the action cannot be quoted.
            BalanceError: the balance does not cover the quote.
            DeniedError: the person's settings allow no spending.
            FrozenError: a person has frozen all that costs money, and nothing was sent.
            NumberLeasedError: another has leased a number for itself alone with which the action would do something.
        """
        if self.policy.refuses(action):
            who = "PIV_SPEND_MODE=deny: the person's settings allow" if self.journal.agent is None else "this agent has"
            raise DeniedError(f"{who} no spending")
        if self.policy.needs_no_approval(action):
            done = await action.send(self._shown)
            note = ". ".join(filter(None, [UNASKED, UNSAID.get(action.kind)]))
            return Receipt(status="done", result=done.result or None, note=note)
        reply = person.reply
        if reply is not None:
            entry = await self.journal.get(reply.question.entry_id)
            # A question that was put to one agent is not another's to answer.
            is_own = entry is not None and entry.agent == self.journal.agent
            if entry is not None and is_own and entry.fingerprint == action.fingerprint:
                first = await self._approval.take(entry, reply)
                entry = await self.journal.reload(entry)
                if first is None:
                    return await self._continue(entry, action, person)
                return await self._finish(entry, action, repeated=not first)
            # The reply belongs to another action: ignore it.
        entry = await self.journal.find_open(action)
        if entry is None or entry.state in ("quoted", "approved"):  # the outcome of what was sent is told
            await self._view.refuse_use(action.sole_use)
            await self.journal.refuse_frozen(action)
        if entry is None or (entry.state in ("quoted", "approved", "executing") and self.policy.mode == "budget"):
            entry = await self._propose(action)
        return await self._continue(entry, action, person)

    async def _propose(self, action: Action) -> Entry:
        """Quote the action and insert it into the journal, or return the open entry of an equal action."""
        await self.journal.recover()  # what a process sent before it died blocks an equal action, too
        recent = self._shown.recent()
        proposal = await action.quote(recent)
        doubts = await self._doubts(action) if action.spends else []
        quote = Quote(
            headline=proposal.headline,
            price=proposal.price,
            arguments=[Argument(name=name, value=value) for name, value in action.arguments.items()],
            now=list(proposal.now),
            balance=await recent.balance(),
            notes=[*await self._repetition_notes(action), *doubts],
            agent=self.journal.agent,
        )
        if action.spends and not quote.is_covered:
            raise BalanceError(quote)
        # Of what is doubtful, only a person may decide.
        budget = None if doubts else self.policy.budget_for(action, proposal.price)
        return await self.journal.propose(action, quote, budget=budget)

    async def _repetition_notes(self, action: Action) -> list[Message]:
        """A note for the person if an equal action was carried out lately, or was sent and may still take effect."""
        since = self._sources.clock.time() - REPETITION_SECONDS
        for entry in await self.journal.entries(limit=50, states=("charged", "not_charged"), since=since):
            if entry.fingerprint == action.fingerprint and action.spends:
                when = _moment(entry.settled_at or entry.quoted_at)
                if entry.state == "not_charged":
                    return [message("not_charged_before", when=when, entry=entry.id)]
                if entry.charged:
                    return [message("charged_before", when=when, entry=entry.id, amount=entry.charged)]
                return [message("done_before", when=when, entry=entry.id)]
        return []

    async def _doubts(self, action: Action) -> list[Message]:
        """What keeps the budget from approving the action, as notes for the person. The question can pass through the
        client of an agent: of what others asked for, they tell that it was, and no more."""
        notes: list[Message] = []
        for entry in await self.journal.unsettled(action):
            if entry.state == "unknown" and _shares_a_target(entry, action):
                notes.append(_note_of("unknown_before", entry) if self._is_own(entry) else message("unknown_elsewhere"))
        for entry in await self.journal.recently_not_charged():
            is_told = self._is_own(entry) and entry.fingerprint == action.fingerprint  # as a repetition
            if entry.kind == action.kind and not is_told and _shares_a_target(entry, action):
                own = self._is_own(entry)
                notes.append(_note_of("not_shown_before", entry) if own else message("not_shown_elsewhere"))
        overcharged = await self.journal.overcharged(action)
        if overcharged is not None:
            own = self._is_own(overcharged)
            notes.append(
                message("overcharged_before", entry=overcharged.id) if own else message("overcharged_elsewhere")
            )
        return [note for place, note in enumerate(notes) if note not in notes[:place]]

    def _is_own(self, entry: Entry) -> bool:
        """Whether the caller may be told of an entry."""
        return self.journal.agent in (None, entry.agent)

    async def _continue(self, entry: Entry, action: Action, person: Person) -> Receipt:
        if entry.state == "quoted":
            entry = await self._approval.ask(entry, person)
            if entry.state == "quoted":
                await self.journal.refuse_frozen(action)
                return self._approval_required(entry)
        return await self._finish(entry, action, repeated=entry.state != "approved")

    async def _finish(self, entry: Entry, action: Action, *, repeated: bool) -> Receipt:
        """Execute an approved entry, wait for an executing one, and return the receipt of an ended one."""
        if entry.state == "approved":
            entry = await self._execute(entry)
        if entry.state == "executing":
            entry = await self._await_ending(entry)
        was_unknown = entry.state == "unknown"
        if was_unknown:
            entry = await self.reconciler.reconcile(entry)
        if entry.state in ("executing", "unknown"):
            raise UnsettledError(entry)
        # An outcome that was unknown is not marked as reported by the first call that learns it. So the next equal
        # call, which may only want to know the outcome, gets it too and does not start a new action.
        if repeated or not (was_unknown or entry.evidence):
            await self.journal.report(entry.id)
        self._approval.forget(entry)
        if entry.state == "expired" and entry.problem == FROZEN:
            raise FrozenError(await self.journal.freeze())
        if entry.state == "refused":
            raise RefusedError(entry.problem or "the API refused it")
        balance = None
        if entry.state == "charged":
            with suppress(PivError):
                balance = await self._sources.recent().balance()
        return receipt(entry, balance=balance, again=repeated)

    def _approval_required(self, entry: Entry) -> Receipt:
        quote = quote_of(entry)
        place, problem = self._approval.where(entry), self._approval.problem(entry)
        return Receipt(
            status="approval_required",
            spending_id=entry.id,
            action=quote.action,
            price=quote.price_words,
            balance=quote.balance,
            **about(quote),
            note="Nothing was sent and nothing charged. "
            + (f"{problem}. " if problem else "")
            + "Only the person can approve: "
            + (f"{place}, or " if place else "")
            + "with the command `piv-mcp approvals` in a terminal of their own. Tell them. After they have decided, "
            "call this tool again with the same arguments. The quote is valid for ten minutes.",
        )

    # --- executing

    async def _execute(self, entry: Entry) -> Entry:
        """Execute in a task of its own, so that a cancelled call does not cancel a request that was sent.

        What was approved is sent: the call's own action may say the same in other words.
        """
        action = actions.load(entry.kind, entry.arguments)
        running = self._executions.get(entry.id)
        if running is None:
            running = asyncio.create_task(self._run(entry, action))
            self._executions[entry.id] = running
            running.add_done_callback(lambda _: self._executions.pop(entry.id, None))
        self._waiting[entry.id] += 1
        try:
            return await asyncio.shield(running)
        finally:
            self._waiting[entry.id] -= 1
            if not self._waiting[entry.id]:
                del self._waiting[entry.id]

    async def _run(self, entry: Entry, action: Action) -> Entry:
        if not await self._price_holds(entry, action):
            return await self.journal.reload(entry)
        try:
            before = await self._snapshot(entry, action)
            await self._view.refuse_use(action.sole_use)  # it may have been leased since the question
        except PivError:
            await self.journal.withdraw(entry.id)
            raise
        if not await self._price_holds(entry, action):  # costs a request only if the snapshot took long
            return await self.journal.reload(entry)
        # Begins before the claim: however long the process stands still from here on, nothing is sent late.
        prompt = self._shown.prompt()
        if not await self.journal.claim(entry.id, before.dump()):
            await self.journal.expire()
            entry = await self.journal.reload(entry)  # another call or process executes it, or it has expired
            blocking = await self.journal.find_open(action) if entry.state == "approved" else None
            return blocking or entry
        try:
            entry = await self._send(await self.journal.reload(entry), action, prompt)
        finally:
            self.journal.release(entry.id)
        self._changes.notify()
        if entry.state == "unknown":
            self._wake_reconciler()
        return entry

    async def _price_holds(self, entry: Entry, action: Action) -> bool:
        """Whether the action still costs no more than was approved, and changes what was shown. If not, end the entry:
        nothing is sent."""
        quote = Quote.model_validate_json(entry.quote)
        approved = quote.price
        if not approved.is_listed and not quote.now:
            return True
        try:
            proposal = await action.quote(self._shown.recent())
        except ApiError as error:
            await self.journal.end_as_price_changed(entry.id, None, message("price_unreadable", why=refusal(error)))
            return False
        now = proposal.price
        if [shown.model_dump(mode="json") for shown in proposal.now] != [shown.model_dump() for shown in quote.now]:
            await self.journal.end_as_price_changed(entry.id, now, message("target_changed"))
            return False
        if not now.exceeds(approved):
            return True
        await self.journal.end_as_price_changed(entry.id, now, dearer(now))
        return False

    async def _snapshot(self, entry: Entry, action: Action) -> Snapshot:
        """The state of the account before the request. What was read for the question serves, unless another action
        was sent or settled since, by any process."""
        before = await Snapshot.take(action, self._sources, may_share=True)
        if await self.journal.others_since(entry, before.began):
            before = await Snapshot.take(action, self._sources, may_share=False)
        return before

    async def _send(self, entry: Entry, action: Action, prompt: Sources) -> Entry:
        try:
            done = await action.send(prompt)
        except OutcomeUnknownError as error:
            ending = Ending("unknown", problem=error.cause.message)
        except ApiError as error:
            ending = Ending("refused", problem=refusal(error))
        except asyncio.CancelledError:
            stopped = Ending("unknown", problem="the server was stopped before the answer came")
            await asyncio.shield(self._write_ending(entry, stopped))
            raise
        except Exception as error:
            _log.exception("an execution failed with an unexpected error", entry_id=entry.id)
            ending = Ending("unknown", problem=f"an error in piv-mcp ({type(error).__name__})")
        else:
            charged = await self.reconciler.charged_amount(entry, action, done)
            # The budget approves each equal call as a new action. So the entry is reported as soon as a caller waits
            # for it; otherwise the next equal call would get this outcome.
            reported = entry.decided_by == "budget" and self._waiting[entry.id] > 0
            ending = Ending("charged", done=done, charged=charged, reported=reported)
        return await self._write_ending(entry, ending)

    async def _write_ending(self, entry: Entry, ending: Ending) -> Entry:
        _log.info("spending", entry_id=entry.id, kind=entry.kind, state=ending.state, problem=ending.problem)
        try:
            await self.journal.end(entry.id, ending)
            return await self.journal.reload(entry)
        except StoreError as error:
            _log.error(
                "the outcome could not be stored",
                entry_id=entry.id,
                state=ending.state,
                problem=error.message,
            )
            # The row still says `executing` but nothing runs; `recover()` marks it unknown, and it is then reconciled.
            return replace(entry, state="unknown", problem=f"its outcome could not be stored: {error.message}")

    async def _await_ending(self, entry: Entry) -> Entry:
        """Wait until the call or process that executes the entry has ended it."""
        while entry.state == "executing":
            version = self._changes.version
            entry = await self.journal.reload(entry)
            if entry.state != "executing":
                break
            if all(other.id != entry.id for other in await self.journal.recover()):
                await self._changes.wait(version, 1.0)
            entry = await self.journal.reload(entry)
        return entry

    async def close(self) -> None:
        """Wait up to 0.5 s for running executions, then cancel them."""
        running = list(self._executions.values())
        if running:
            with suppress(TimeoutError):
                async with self._sources.clock.timeout(CLOSE_SECONDS):
                    await asyncio.wait(running)
        for task in self._executions.values():
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._approval.close()


def _note_of(id: str, entry: Entry) -> Message:
    when = _moment(entry.sent_at or entry.quoted_at)
    action = quote_of(entry).headline.model_dump()
    return message(id, when=when, entry=entry.id, action=action)


def _shares_a_target(entry: Entry, action: Action) -> bool:
    try:
        return bool(actions.load(entry.kind, entry.arguments).targets & action.targets)
    except ValueError:  # arguments of another version, which nobody can read: the person decides
        return True


def _moment(seconds: float) -> str:
    return time.strftime("%H:%M UTC", time.gmtime(seconds))
