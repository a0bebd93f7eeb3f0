"""What must hold after every step, whatever the steps were."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from actors.demand.job import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.demand.consumer import Consumer
    from actors.demand.job_store import JobStore
    from actors.demand.messages import SubscriptionId
    from actors.demand.producer import Producer
    from actors.demand.windows import Window
    from tests.demand.book import Book


def check_accounting(producer: Producer, book: Book) -> None:
    """Every job that was fetched is in one place and counted there."""
    accounting = producer.store.accounting()
    assert accounting == book.accounting()
    assert accounting.balanced


def check_places(producer: Producer, book: Book) -> None:
    """Those that are ready wait in one place; new ones go out as they came in."""
    buffer = copy.deepcopy(producer.store.buffer)
    buffered = [job.key for job in buffer.take(len(buffer))]
    suspects = _suspects(producer.store) if producer.store.has_suspects else []
    assert sorted(buffered + suspects) == book.keys(JobState.READY)
    new = [key for key in buffered if not book.jobs[key].attempt]
    tried = [key for key, job in book.jobs.items() if job.attempt]
    assert new == sorted(new), "out of order"
    assert max(tried, default=0) < min(new, default=book.next_key), "overtaken"


def check_attempts(book: Book, most: int) -> None:
    """None is handed out more often than it may be tried."""
    assert all(job.tries <= most for job in book.jobs.values())


def check_leases(producer: Producer, book: Book) -> None:
    """Those that are leased are held by one subscription each."""
    leased = [
        job.key
        for each in producer.subscriptions
        for job, attempt in each.leases.values()
        if job.state is JobState.LEASED and job.attempt == attempt
    ]
    assert sorted(leased) == book.keys(JobState.LEASED)


def check_ledger(producer: Producer, asked: Mapping[SubscriptionId, int]) -> None:
    """Nothing is sent that was not asked for, nothing held that was."""
    unmet = 0
    for each in producer.subscriptions:
        assert each.received <= each.sent <= each.asked <= asked[each.id]
        assert each.leases or not each.closing
        isolated = producer.isolates(each)
        withheld = producer.is_resting(each) or producer.is_full(each)
        held = each.closing or isolated or withheld
        unmet += 0 if held else each.credit
        if isolated and producer.gate_open:
            assert each.leases or (producer.store.has_suspects and not each.credit)
    assert producer.demand == unmet
    assert not (producer.gate_open and len(producer.store.buffer) and unmet)


def check_windows(producer: Producer, window: Window) -> None:
    """No consumer has more jobs out than its window, whatever got lost."""
    for each in producer.subscriptions:
        assert len(each.leases) <= window.max_demand


def check_consumer(consumer: Consumer) -> None:
    """What was asked for and is not worked off fits the window."""
    assert consumer.excess == 0
    assert consumer.held == sum(each.unfinished for each in consumer.subscriptions)
    for subscription in consumer.subscriptions:
        assert subscription.total >= subscription.received
        assert subscription.unfinished >= 0
        if consumer.manual_demand is not None:
            continue
        most = consumer.window.max_demand
        assert (
            subscription.total - subscription.received + subscription.unfinished <= most
        )


def _suspects(store: JobStore) -> list[int]:
    store = copy.deepcopy(store)
    keys = []
    while store.has_suspects:
        keys.append(store.take_suspect().key)
    return keys
