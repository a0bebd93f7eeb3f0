"""What is kept, and told and sent while its source is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.dispatchers import DemandDispatcher
from actors.demand.job import Job, Process
from actors.demand.job_events import JobEvent, JobFetched
from actors.demand.job_store import JobStore
from actors.demand.messages import Ping, Subscribe
from actors.demand.producer import Decision, Producer
from actors.demand.producer_subscription import ProducerSender
from actors.fetcher import commit_queue
from actors.fetcher.commit_queue import LEFT_S, CommitQueue, Delivery
from actors.journal.memory import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.actor_system.stage import Stage
    from actors.demand.messages import ToConsumer
    from actors.fetcher.poll_worker import PollWorker

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")


class _Logging:
    log = None


class World:
    """A delivery between a journal in memory and things that note what they hear."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.happened: list[str] = []
        self.has_time = True
        self.broken = False
        self.tally = self
        monkeypatch.setattr(commit_queue, "log_events", self.log)
        buffer: Buffer[Job] = Buffer(9)
        self.queue = CommitQueue(MemoryJournal())
        sender: ProducerSender[str] = ProducerSender(self.send)
        sender.received(Subscribe(subscription="a", process=HERE), "there")
        self.delivery = Delivery(
            *(cast("Stage", _Logging()), cast("Any", "root"), self.queue),
            Producer(JobStore(buffer, RetryPolicy()), DemandDispatcher()),
            *(cast("PollWorker", self), None, cast("Any", sender)),
        )

    # The source, its tally, and whom it speaks to.

    def send(self, _: str, message: ToConsumer) -> None:
        if self.broken:
            raise MemoryError
        assert isinstance(message, Ping)
        self.happened.append(f"sent {message.sent}")

    def log(self, _: Any, events: Iterable[JobEvent]) -> None:
        self.happened += [f"told {each.job.key}" for each in events]  # type: ignore[union-attr]

    def note(self, events: list[JobEvent], now: float) -> None:
        """Count nothing."""

    def kept(self, count: int, useful: int) -> None:
        if count:
            self.happened.append("goes on")

    def pages_kept(self, decision: Decision, now: float) -> None:
        """Nothing: it has no state."""

    def leave(self) -> None:
        self.happened.append("left")

    def fetch(self, key: int, now: float = 0.0) -> None:
        job = Job(key, key, {"id": key}, 0.0)
        sends: list[Any] = [Ping(subscription="a", sent=key)]
        decision = Decision(events=[JobFetched(job)], sends=sends, fetched=1)
        self.queue.put(decision)
        self.delivery.release(now)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_where_nobody_comes_back_all_is_done_at_once(world: World) -> None:
    world.has_time = False

    world.fetch(1)

    assert world.happened == ["sent 1", "goes on", "told 1"]
    assert not world.delivery.has_left


def test_what_is_kept_is_left_until_the_source_is_waited_for(world: World) -> None:
    world.fetch(1)
    assert world.happened == ["goes on", "left"]

    world.delivery.finish(1.0)
    world.delivery.finish(1.0)

    assert world.happened == ["goes on", "left", "sent 1", "told 1"]
    assert not world.delivery.has_left


def test_what_comes_next_goes_behind_what_is_left(world: World) -> None:
    world.fetch(1)
    world.has_time = False
    world.fetch(2)

    sent_and_told = [each for each in world.happened if each[-1].isdigit()]
    assert sent_and_told == ["sent 1", "told 1", "sent 2", "told 2"]


def test_it_is_not_left_for_long(world: World) -> None:
    assert world.delivery.next_tick is None

    world.fetch(1, now=5.0)

    assert world.delivery.next_tick == 5.0 + LEFT_S


def test_what_cannot_be_sent_is_told_all_the_same(world: World) -> None:
    world.fetch(1)
    world.broken = True

    with pytest.raises(MemoryError):
        world.delivery.finish(1.0)

    assert world.happened[-1] == "told 1"
    assert not world.delivery.has_left


def test_only_what_was_fetched_is_left(world: World) -> None:
    """A message of the mailbox's own, that came in the same turn, is nobody's to do."""
    world.queue.put(Decision(sends=[Ping(subscription="a", sent=4)]))

    world.delivery.release(0.0)

    assert world.happened == ["sent 4"]
