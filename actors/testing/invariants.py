"""What must hold at every moment of every schedule.

- **stage.error**: no handler ever raises.
- **account**: every job that was handed out is in exactly one place; only one
  that a fetcher had not yet committed can go with it.
- **demand**: nobody is sent more than it asked for, and no demand is counted
  that nobody has.
- **window**: no process has more jobs out than its window, whatever got lost.
- **journal first**: what leaves a fetcher is on the disk.
- **one lease**: a job is in one processor's hands for each attempt, and each
  attempt has a number of its own.
- **attempts**: no job is handed out more often than it may be tried.
- **fencing**: the failure of an attempt that has ended changes nothing.
- **order**: jobs go out in the order of fetching.
- **timers**: a stage never has two for the same moment.
- **one fetch**: nothing is fetched before the last job is kept.
- **drained**: a fetcher that says so keeps all that it fetched, and fetches no more.
- **state**: a source's state and its jobs are on the disk together, or neither is.
- **every job ends**, with its payload kept where it is quarantined.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from actors.config.option import AUTO
from actors.demand.job import JobState
from actors.demand.job_events import JobFetched, JobLeased, StateMoved
from actors.demand.messages import Confirm, Demand, Done, Jobs
from actors.demand.windows import MOST
from actors.fetcher.actor import FetcherActor
from actors.processor.actor import ProcessorActor
from actors.supervision.messages import Drained
from actors.testing.base import Observer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from actors.demand.job import Job
    from actors.demand.job_events import JobEvent
    from actors.demand.messages import SubscriptionId
    from actors.demand.producer_subscription import ProducerSubscription
    from actors.testing.base import Node
    from actors.testing.world import World


class Violation(AssertionError):  # noqa: N818 - it is what was found
    """Something did not hold that must; ``invariant`` is its name."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


class Invariants(Observer):
    """Watches a world, and keeps the first violation for who runs it."""

    world: World

    def __init__(self) -> None:
        self.violation: Violation | None = None
        self.lost: list[Any] = []
        self.duplicates = 0
        self.kept = 0
        self.made = 0
        self._asked: dict[SubscriptionId, int] = {}
        self._leases: dict[tuple[str, int], tuple[int, SubscriptionId, int]] = {}
        self._newest: dict[str, int] = {}
        self._unkept: dict[str, list[Any]] = {}
        self._drained: set[str] = set()
        self._stale: list[tuple[Job, str]] = []
        self._drain_until = 0.0
        self._lists: dict[str, Sequence[Any]] = {}
        self._taken: dict[str, set[Any]] = {}
        self.positions: dict[str, int] = {}

    def fail(self, invariant: str, text: str) -> None:
        """Note a violation, unless there is one already."""
        if self.violation is None:
            at = self.world.agenda.elapsed
            self.violation = Violation(invariant, f"{text} (after {at:.3f} s)")

    def fetched(self, fetcher: str, job: Any) -> None:
        """A source handed out a job; what nothing keeps is not accounted for."""
        self._hand_out(fetcher, [job])

    def paged(self, fetcher: str, jobs: Sequence[Any]) -> None:
        """A source's state is how many of these jobs it has handed out."""
        self._lists[fetcher] = jobs
        self._taken[fetcher], self.positions[fetcher] = set(), 0

    def page(self, fetcher: str, jobs: Sequence[Any]) -> None:
        """A source handed out jobs together."""
        self._hand_out(fetcher, jobs)

    def _hand_out(self, fetcher: str, jobs: Sequence[Any]) -> None:
        if fetcher in self._drained:
            self.fail("drained", f"{fetcher} said that it was, and fetched {jobs}")
        if self.world.config.journal is None:
            return
        unkept = self._unkept.setdefault(fetcher, [])
        if unkept:
            self.fail("one fetch", f"{fetcher} fetched {jobs} over {unkept}")
        unkept += jobs

    def unkept(self) -> list[Any]:
        """Jobs that were handed out and are not on the disk."""
        return [job for jobs in self._unkept.values() for job in jobs]

    def committed(self, node: Node, events: Iterable[JobEvent]) -> None:
        """A fetcher's events are on the disk."""
        unkept = self._unkept.get(node.name)
        for event in events:
            if isinstance(event, JobFetched):
                self._keep(event, unkept)
            if isinstance(event, JobLeased):
                self._check_leased(node, event.job)
        if node.name in self._lists:
            self._check_state(node.name, events)

    def _check_state(self, name: str, events: Iterable[JobEvent]) -> None:
        taken = self._taken[name]
        for event in events:
            if isinstance(event, JobFetched) and event.first:
                taken.add(event.job.id)
            elif isinstance(event, StateMoved):
                self.positions[name] = int(event.text)
        position = self.positions[name]
        before = {job["id"] for job in self._lists[name][:position]}
        if taken != before:
            self.fail(
                "state",
                f"{name} is at {position}: skipped {before - taken}, "
                f"not behind it {taken - before}",
            )

    def _keep(self, event: JobFetched, unkept: list[Any] | None) -> None:
        # Where a job goes to several kinds, it is several from here on.
        self.made += 1
        self.kept += event.first
        if unkept and event.first:
            unkept.remove(event.job.payload)

    def told(self, node: Node, level: str, event: str, fields: dict[str, Any]) -> None:
        """Look for what a log must never say."""
        if event == "drain.started":
            self._drain_until = self.world.agenda.now + fields["timeout_s"]
        if event == "job.known":
            self.duplicates += 1
            if unkept := self._unkept.get(node.name):
                unkept.remove(fields["job"])
        if level == "error" and event == "stage.error":
            self.fail("stage.error", f"{node.name}: {fields.get('trace')}")

    def stopped(self) -> None:
        """Check that an orderly end has dropped nothing."""
        timely = self.world.agenda.now < self._drain_until
        if timely and (unkept := self.unkept()):
            self.fail("account", f"drained, and dropped what was fetched: {unkept}")

    def killed(self, node: Node) -> None:
        """Note what went with a fetcher."""
        if isinstance(node.stage, FetcherActor):
            self.lost += self._unkept.pop(node.name, [])
            self._drained.discard(node.name)

    def before(self, node: Node, message: Any) -> None:
        """Note which outcomes come too late to count."""
        self._stale.clear()
        if type(message) is not Done or not hasattr(node.stage, "producer"):
            return
        live = node.stage.producer.store.live
        keys = Counter(each.key for each in message.outcomes)
        for outcome in message.outcomes:
            job = live(outcome.key)
            # With several of one job, it is not told which of them counted.
            if outcome.failure is None or job is None or keys[outcome.key] > 1:
                continue
            if job.state is not JobState.LEASED or job.attempt != outcome.attempt:
                self._stale.append((job, _counted(job)))

    def after(self, node: Node, message: Any) -> None:  # noqa: ARG002
        """Check a stage that has just changed."""
        if len(set(node.timers)) < len(node.timers):
            self.fail("timers", f"{node.name} has one twice: {node.timers}")
        for job, counted in self._stale:
            if _counted(job) != counted:
                self.fail("fencing", (f"a late failure ended job {job}"))
        stage = node.stage
        if isinstance(stage, FetcherActor) and hasattr(stage, "producer"):
            self._check_producer(node.name, stage)
        elif isinstance(stage, ProcessorActor) and hasattr(stage, "consumer"):
            self._check_consumer(node.name, stage)

    def sent(self, sender: Node, receiver: Node | None, message: Any) -> None:  # noqa: ARG002
        """Check what is on the wire."""
        match message:
            case Demand() | Done():
                asked = max(self._asked.get(message.subscription, 0), message.total)
                self._asked[message.subscription] = asked
            case Jobs():
                self._check_confirmed(sender, message.confirmed)
                self._check_jobs(sender, message)
            case Confirm():
                self._check_confirmed(sender, message.outcomes)
            case Drained() if isinstance(sender.stage, FetcherActor):
                self._drained.add(sender.name)
                if unkept := self._unkept.get(sender.name):
                    self.fail("drained", f"{sender.name} has not kept {unkept}")
            case _:
                return

    def _check_confirmed(
        self, sender: Node, outcomes: Iterable[tuple[int, int]]
    ) -> None:
        for key, attempt in outcomes:
            if self._kept(sender, key) == ("leased", attempt):
                self.fail(
                    "journal first",
                    (f"{sender.name} confirmed job {key} before it kept it"),
                )

    def _check_jobs(self, sender: Node, message: Jobs) -> None:
        asked = self._asked.get(message.subscription, 0)
        if not (message.upto <= asked):
            self.fail(
                "demand",
                (f"{sender.name} sent {message.upto} of the {asked} jobs asked for"),
            )
        if not isinstance(sender.stage, FetcherActor):
            return
        for each in message.jobs:
            place = each.attempt, message.subscription, each.number
            last = self._leases.get((sender.name, each.key))
            if not (last is None or last == place or last[0] < each.attempt):
                self.fail(
                    "one lease",
                    (f"{sender.name} sent job {each.key} as {place} after {last}"),
                )
            self._leases[sender.name, each.key] = place
            state, attempt = self._kept(sender, each.key)
            if not (attempt >= each.attempt):
                self.fail(
                    "journal first",
                    (
                        f"{sender.name} sent job {each.key} at {each.attempt}, "
                        f"it is {state} at {attempt}"
                    ),
                )

    def _check_leased(self, node: Node, job: Job) -> None:
        if job.tries > (most := self.world.config.retries):
            self.fail("attempts", f"{node.name} leased {job} for more than {most}")
        if job.attempt == 1:
            self._check_order(node, job)

    def _check_order(self, node: Node, job: Job) -> None:
        if _is_routed(node.stage):
            return  # in order for each route, and those do not wait for one another
        newest = self._newest.get(node.name, 0)
        if job.key < newest:
            self.fail("order", f"{node.name} leased job {job.key} after {newest}")
        self._newest[node.name] = max(newest, job.key)

    def _kept(self, node: Node, key: int) -> tuple[str, int]:
        journal = self.world.config.journal
        row = None
        if journal is not None:
            row = (
                self.world.database(journal)
                .execute(
                    "SELECT state, attempt FROM job JOIN fetcher ON number = fetcher "
                    "WHERE name = ? AND key = ?",
                    (node.name, key),
                )
                .fetchone()
            )
        return row or ("forgotten", 1 << 30)

    def _check_producer(self, name: str, stage: FetcherActor) -> None:
        producer = stage.producer
        accounting = producer.store.accounting()
        if not (accounting.balanced):
            self.fail("account", (f"{name}: {accounting}"))
        unmet = leased = 0
        for each in producer.subscriptions:
            in_order = each.received <= each.sent <= each.asked
            asked = self._asked.get(each.id, 0)
            if not (in_order and each.asked <= asked):
                self.fail(
                    "demand",
                    (
                        f"{name}: {each.received} received, {each.sent} sent, "
                        f"{each.asked} asked for of {asked}"
                    ),
                )
            resting = producer.is_resting(each) or producer.is_full(each)
            held = each.closing or producer.isolates(each) or resting
            unmet += 0 if held else each.credit
            self._check_window(name, stage, each)
            leased += sum(
                job.state is JobState.LEASED and job.attempt == attempt
                for job, attempt in each.leases.values()
            )
        if producer.demand != unmet:
            self.fail(
                "demand",
                (f"{name} counts {producer.demand} asked for, there are {unmet}"),
            )
        if leased != accounting.in_flight:
            self.fail(
                "account",
                (
                    f"{name} counts {accounting.in_flight} in flight, "
                    f"{leased} are leased"
                ),
            )
        waiting = len(producer.store.buffer)
        # A route, or a limit, keeps jobs and demand apart for good reason.
        free = producer.gate_open and not _is_routed(stage) and not producer.is_limited
        if free and waiting and producer.demand:
            self.fail(
                "demand",
                (f"{name} holds {waiting} jobs against a demand of {producer.demand}"),
            )

    def _check_window(
        self, name: str, stage: FetcherActor, subscription: ProducerSubscription
    ) -> None:
        kind = subscription.process.kind
        system = self.world.config
        config = next((each for each in system.processors if each.name == kind), None)
        # A step's jobs are out for as long as later steps have them.
        if config is None or config.is_manual or kind in system.steps:
            return
        window = config.windows.get(stage.config.name, config.window)
        most = MOST if config.max_demand == AUTO else window.max_demand
        if len(subscription.leases) > most:
            self.fail(
                "window",
                f"{name}: {subscription.process.name} has {len(subscription.leases)} "
                f"jobs out of {most} that it may have",
            )

    def _check_consumer(self, name: str, stage: ProcessorActor) -> None:
        consumer = stage.consumer
        if consumer.excess:
            self.fail("demand", (f"{name} got more than it asked for"))
        for subscription in consumer.subscriptions:
            outstanding = (
                subscription.total - subscription.received + subscription.unfinished
            )
            # A window that follows its jobs may have shrunk since it asked.
            most = MOST if stage.is_auto else consumer.window.max_demand
            if subscription.window is not None:
                most = subscription.window.max_demand
            if consumer.manual_demand is not None:
                most = outstanding
            if not (0 <= subscription.unfinished <= outstanding <= most):
                self.fail(
                    "demand",
                    (
                        f"{name} has {subscription.unfinished} and asked for "
                        f"{outstanding} of {most}"
                    ),
                )


def _is_routed(stage: FetcherActor) -> bool:
    return stage.config.dispatcher != "demand"


def _counted(job: Job) -> str:
    # Ready and leased are one here: the demand in the same message may lease it.
    ended = (JobState.RETRYING, JobState.QUARANTINED)
    return job.state.value if job.state in ended else "open"
