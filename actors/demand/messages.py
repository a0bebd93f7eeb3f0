"""The protocol between a producer and a consumer.

Rule 1: everything is keyed by the subscription's id, never by an address.
Rule 2: a producer never sends more than was asked for.
Rule 3: counts are running totals from the start of the subscription, so that a
message that is lost, repeated or overtaken changes nothing that the next one
does not put right.
Rule 4: a message for an unknown subscription is answered with ``Cancel``.

A consumer opens with ``Subscribe`` and ``Demand``; the producer answers with
``Jobs`` as it has them. What became of a job travels back in ``Done``, repeated
until a ``Confirm``. Where a producer has reason to doubt (jobs unaccounted for,
or jobs and no demand) it sends ``Ping``, which the consumer answers with its
totals: that renews its leases, and heals whatever got lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from actors.demand.job import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from actors.demand.job import Job, JobId, Process


SubscriptionId: TypeAlias = str


class Assignment(NamedTuple):
    """One job on its way: ``number`` counts the subscription's jobs from 0.

    Attributes:
        trace: From a step, the span that it comes from (W3C's ``traceparent``), where
            traces are made.
    """

    number: int
    key: int
    attempt: int
    id: JobId
    payload: Any
    trace: str = ""


class Outcome(NamedTuple):
    """What became of one attempt at a job: a result, or a failure.

    Attributes:
        begun: Where it is false, the job is given back as it came: what is before
            it takes long, and another processor may have time.
    """

    key: int
    attempt: int
    result: Any = None
    failure: Failure | None = None
    duration_s: float = 0.0
    begun: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Consumer to producer: open a subscription. Repeated until it is answered."""

    subscription: SubscriptionId
    process: Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """Producer to consumer: the subscription is open."""

    subscription: SubscriptionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Consumer to producer: up to ``total`` jobs may be sent, counted from the start.

    Attributes:
        total: A running total, not an increment: repeating it changes nothing,
            and the highest one seen stands. It dies with its subscription.
        received: Jobs that have arrived, counted likewise.
        resend: Something is missing after ``received``: send it again.
        ended: Of those that have arrived, this many have their outcome. Where the
            outcomes themselves are still on their way, or lost, the demand that
            follows from them waits for them.
    """

    subscription: SubscriptionId
    total: int
    received: int
    resend: bool = False
    ended: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        """Refuse totals that no consumer can mean."""
        if not 0 <= self.received <= self.total:
            raise ValueError(
                f"received must be from 0 to total, got {self.received} of {self.total}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Producer to consumer: the jobs from number ``first`` to before ``upto``.

    A job that the producer has since taken back is left out of ``jobs``, while
    its number still counts: that is how a repeated message fills a gap.

    Attributes:
        confirmed: Outcomes (key, attempt) that are kept, as in ``Confirm``: what
            answers a ``Done`` often has jobs as well, and a message costs more
            than what is in it.
        alone: Nothing follows these jobs until they have ended, whatever was
            asked for: one of them may have taken its processor down.
        size: What the jobs come to, in bytes, for its sender; it does not travel.
    """

    subscription: SubscriptionId
    first: int
    upto: int
    jobs: tuple[Assignment, ...]
    confirmed: tuple[tuple[int, int], ...] = ()
    alone: bool = False
    size: int = field(default=0, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle columns: a thousand small objects cost more than five lists."""
        rest = (
            *(self.subscription, self.first, self.upto),
            *(self.confirmed, self.alone),
        )
        return jobs_of_columns, (*rest, tuple(zip(*self.jobs, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Consumer to producer: outcomes, and the demand that goes with them."""

    subscription: SubscriptionId
    outcomes: tuple[Outcome, ...]
    total: int
    received: int
    ended: int = field(default=0, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle columns, as ``Jobs`` does."""
        rest = (self.subscription, self.total, self.received, self.ended)
        return done_of_columns, (*rest, tuple(zip(*self.outcomes, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Producer to consumer: these outcomes (key, attempt) are kept; forget them."""

    subscription: SubscriptionId
    outcomes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOff:
    """Producer to consumer: end these jobs (key, attempt), nobody wants their results.

    Repeated until each has an outcome, whatever that is.
    """

    subscription: SubscriptionId
    jobs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Producer to consumer: tell your totals, ``sent`` is mine."""

    subscription: SubscriptionId
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Either way: the subscription ends, and its unused demand with it.

    A consumer that cancels still finishes what it received; the producer's
    answer carries ``sent``, so that the consumer knows when it has it all.
    From a producer it means that nothing more will come.
    """

    subscription: SubscriptionId
    reason: str
    sent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """From a line's end to the producer: what it sent is still on its way over it.

    It takes the place of a ping: the consumer's silence says nothing, and its lease
    begins when the jobs arrive.
    """

    subscription: SubscriptionId


ToProducer: TypeAlias = Subscribe | Demand | Done | Cancel | Crossing

ToConsumer: TypeAlias = Subscribed | Jobs | Confirm | CallOff | Ping | Cancel

# A named tuple's own constructor is written in Python, and costs as much as all the
# rest of unpickling it.
_assignment = partial(tuple.__new__, Assignment)

_outcome = partial(tuple.__new__, Outcome)


def assignments_of(jobs: Sequence[Job], first: int) -> list[Assignment]:
    """Number jobs from ``first`` on, each for its present attempt."""
    rows = zip(
        range(first, first + len(jobs)),
        [job.key for job in jobs],
        [job.attempt for job in jobs],
        [job.id for job in jobs],
        [job.payload for job in jobs],
        [""] * len(jobs),
        strict=True,
    )
    return list(map(_assignment, rows))


def jobs_of_columns(
    subscription: SubscriptionId,
    first: int,
    upto: int,
    confirmed: tuple[tuple[int, int], ...],
    alone: bool,  # noqa: FBT001 - called by pickle alone
    columns: tuple[tuple[Any, ...], ...],
) -> Jobs:
    """Make the message of what its pickle holds."""
    return Jobs(
        subscription=subscription,
        first=first,
        upto=upto,
        jobs=tuple(map(_assignment, zip(*columns, strict=True))),
        confirmed=confirmed,
        alone=alone,
    )


def done_of_columns(
    subscription: SubscriptionId,
    total: int,
    received: int,
    ended: int,
    columns: tuple[tuple[Any, ...], ...],
) -> Done:
    """Make the message of what its pickle holds."""
    return Done(
        subscription=subscription,
        outcomes=tuple(map(_outcome, zip(*columns, strict=True))),
        total=total,
        received=received,
        ended=ended,
    )


T = TypeVar("T")

#: What several jobs, or outcomes, in one message come to at most, in bytes; one that
#: is larger travels alone.
MESSAGE_BYTES = 1 << 20


def in_parts(
    many: Iterable[T], size: Callable[[T], int], most: int = MESSAGE_BYTES
) -> Iterator[tuple[list[T], int]]:
    """Cut a sequence into parts of at most this many bytes, each with its size.

    One that is larger is a part by itself; of an empty sequence there is none.
    """
    part: list[T] = []
    total = 0
    for each in many:
        more = size(each)
        if part and total + more > most:
            yield part, total
            part, total = [], 0
        part.append(each)
        total += more
    if part:
        yield part, total


#: What a producer says of any number of jobs.
Halved: TypeAlias = Jobs | Confirm | CallOff


def halves_of(message: Halved) -> tuple[Halved, ...]:
    """Two messages that say the same; none if it holds one job or none."""
    match message:
        case Jobs(jobs=jobs, confirmed=confirmed):
            if half := len(jobs) // 2:
                between = jobs[half].number
                return (
                    replace(message, upto=between, jobs=jobs[:half]),
                    replace(message, first=between, jobs=jobs[half:], confirmed=()),
                )
            if confirmed:
                alone = Confirm(subscription=message.subscription, outcomes=confirmed)
                return alone, replace(message, confirmed=())
        case Confirm(outcomes=outcomes):
            if half := len(outcomes) // 2:
                parts = outcomes[:half], outcomes[half:]
                return tuple(replace(message, outcomes=each) for each in parts)
        case CallOff(jobs=called):
            if half := len(called) // 2:
                both = called[:half], called[half:]
                return tuple(replace(message, jobs=each) for each in both)
    return ()


def undeliverable(subscription: str, job: Assignment, size: int, limit: int) -> Done:
    """What the consumer would say of a job that cannot be sent to it.

    Its totals say nothing that is not known already.
    """
    text = f"MessageTooLongError: the job takes {size} bytes, at most {limit} are sent"
    outcome = Outcome(job.key, job.attempt, None, Failure(text, permanent=True))
    return Done(subscription=subscription, outcomes=(outcome,), total=0, received=0)


def shorter(message: Done, size: int, limit: int) -> tuple[Done, ...]:
    """The same outcomes in two messages, or as the failure of a result too long."""
    outcomes = message.outcomes
    half = len(outcomes) // 2
    if half:
        return (
            replace(message, outcomes=outcomes[:half]),
            replace(message, outcomes=outcomes[half:]),
        )
    text = f"MessageTooLongError: the result takes {size} bytes, at most {limit}"
    failed = tuple(
        each._replace(result=None, failure=Failure(text, permanent=True))
        for each in outcomes
    )
    return (replace(message, outcomes=failed),)
