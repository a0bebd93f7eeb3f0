"""One run of a fetcher's worker over a source with a state: page after page."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.demand.job import Failure, pending
from actors.demand.source_state import StateError, state_text
from actors.fetcher.fetch_call import (
    MOST,
    Fetched,
    FetchStep,
    Page,
    RunEnded,
    Unusable,
    all_kept,
    failed,
    is_iterator,
    item_of,
    own_options,
)
from actors.host.texts import class_name
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from actors.fetcher.fetch_call import Signals

_WANTED = "a fetch with a parameter 'state' must return or yield (jobs, state)"


class _ShapeError(TypeError):
    """What ``fetch`` handed over is no page."""


def page_run(
    fetch: Callable[..., Any],
    options: dict[str, Any],
    state: str,
    room: int,
    signals: Signals,
) -> Iterator[FetchStep]:
    """Call ``fetch`` until it has no more, fails, or ``room`` jobs are here.

    Each page is kept, with its state, before the next is asked for: an iterator is
    not resumed before that, and ``fetch`` is not called again. A ``fetch`` that
    returns a page is called again while it brings jobs; where neither the state nor
    an id says that they are new ones, that counts as no more, and so does a page of
    a length that was that of the last one before (`Lengths`). An iterator that ends
    has no more. Where there is no room it is left: the next run goes on at the state.
    """
    signals.lengths.begin()
    run = _Run(fetch, options, state, room, signals)
    end = None
    while end is None:
        end = yield from run.call()
    yield end


@dataclass(slots=True)
class _Run:
    fetch: Callable[..., Any]
    options: dict[str, Any]
    state: str
    room: int
    signals: Signals
    asked_at: float = 0.0

    def call(self) -> Generator[FetchStep, None, RunEnded | None]:
        """Call ``fetch`` once; returns how the run ended, if it did."""
        if (end := self._over()) is not None:
            return end
        self.asked_at = time.monotonic()
        try:
            answer = self.fetch(
                **own_options(self.options), state=json.loads(self.state)
            )
        except BaseException as error:  # noqa: BLE001 - sys.exit() would end the thread
            return (yield from self._failed(error))
        if is_iterator(answer):
            try:
                return (yield from self._take_all(answer))
            finally:
                _leave(answer)
        page = self._page(answer)
        if not isinstance(page, Page):
            if answer is None:
                self.signals.lengths.nothing()
            return page
        end = yield from self._keep(page)
        return end or (None if self._is_news(page) else self._none())

    def _take_all(
        self, pages: Iterator[Any]
    ) -> Generator[FetchStep, None, RunEnded | None]:
        last: set[Any] = set()
        while True:
            try:
                answer = next(pages)
            except StopIteration:
                return self._none()
            except BaseException as error:  # noqa: BLE001 - the user's function
                return (yield from self._failed(error))
            end = None
            if answer is not None:
                page = self._page(answer)
                if isinstance(page, RunEnded):
                    return page
                end = yield from self._keep(page)
                named = _named(page)
                if named and named == last:
                    end = end or self._none()
                last = named
            if (end := end or self._over()) is not None:
                return end
            self.asked_at = time.monotonic()

    def _over(self) -> RunEnded | None:
        if self.signals.stop:
            return RunEnded("stopped")
        if self.room <= 0 or self.signals.full:
            return RunEnded("full")
        return None

    def _none(self) -> RunEnded:
        return RunEnded("none", took_s=time.monotonic() - self.asked_at)

    def _page(self, answer: Any) -> Page | RunEnded:
        if answer is None:
            return self._none()
        try:
            return Page(*_taken(answer), self.state, state_text(answer[1]))
        except (_ShapeError, StateError) as error:
            return RunEnded("error", Failure(f"{error}; the last state stands"))
        except BaseException as error:  # noqa: BLE001 - it may be of the user's classes
            return RunEnded("error", describe(error))

    def _keep(self, page: Page) -> Generator[FetchStep, None, RunEnded | None]:
        self.signals.waits_next()
        self.signals.under_way += len(page.jobs) + 1
        yield page
        yield from all_kept(self.signals)
        if self.signals.moved:
            return RunEnded("none")
        self.state = page.told
        self.room -= len(page.jobs)
        bad = [job for job in page.jobs if isinstance(job, Unusable)]
        if bad and len(bad) == len(page.jobs):
            return RunEnded("error", bad[0].failure)
        return None

    def _is_news(self, page: Page) -> bool:
        named, last = _named(page), self.signals.last
        self.signals.last = named
        if self.signals.next_s is not None:
            return False
        all_named = len(named) == len(page.jobs)
        is_again = named <= last if all_named else page.told == page.given
        if not page.jobs or is_again:
            self.signals.lengths.nothing()
            return False
        return self.signals.lengths.may_have_more(len(page.jobs))

    def _failed(self, error: BaseException) -> Generator[FetchStep, None, RunEnded]:
        step = failed(error)
        if isinstance(step, RunEnded):
            return step
        self.signals.under_way += 1
        yield step
        yield from all_kept(self.signals)
        return RunEnded("error", step.failure)


def _taken(answer: Any) -> tuple[tuple[Fetched | Unusable, ...]]:
    if not isinstance(answer, tuple) or len(answer) != 2:  # noqa: PLR2004 - a pair
        got = pending(answer) or class_name(answer)
        if isinstance(answer, tuple):
            got = f"a tuple of {len(answer)}"
        raise _ShapeError(f"{_WANTED}, got {got}")
    jobs = answer[0]
    if not isinstance(jobs, list | tuple):
        raise _ShapeError(f"{_WANTED}, jobs being a list, got {class_name(jobs)}")
    if len(jobs) > MOST:
        raise _ShapeError(f"a page has at most {MOST} jobs, got {len(jobs)}")
    return (tuple(item_of(job) for job in jobs if job is not None),)


def _named(page: Page) -> set[Any]:
    ids = (job.id for job in page.jobs if isinstance(job, Fetched))
    return {each for each in ids if each is not None}


def _leave(pages: Iterator[Any]) -> None:
    if (close := getattr(pages, "close", None)) is not None:
        with suppress(BaseException):
            close()
