"""What becomes of a message that is longer than a frame may be.

One with several jobs, or outcomes, is sent in halves, for which nothing has to be
known of their sizes. A job that is too long by itself cannot be done: it fails,
once and for all, and so does one whose result is.
"""

from __future__ import annotations

from dataclasses import replace

from actors.demand.messages import Assignment, Done, Failure, Jobs, Outcome


def halves_of_jobs(message: Jobs) -> tuple[Jobs, Jobs] | None:
    """Two messages with the same numbers; None if it holds one job or none."""
    jobs = message.jobs
    if len(jobs) < 2:  # noqa: PLR2004 - one cannot be halved
        return None
    half = len(jobs) // 2
    between = jobs[half].number
    return (
        replace(message, upto=between, jobs=jobs[:half]),
        replace(message, first=between, jobs=jobs[half:], confirmed=()),
    )


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
