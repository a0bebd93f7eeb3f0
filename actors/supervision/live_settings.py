"""What a person changes while it runs: pauses, and the values of ``set``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actors.config.model import LIVE, LIVE_OPTIONS
from actors.supervision.messages import Pause, Resume, Tune

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.supervision.children import Member
    from actors.supervision.root import RootActor


class TuningError(ValueError):
    """It cannot be changed so; the text says why."""


@dataclass(slots=True)
class Tuning:
    """Holds what a restarted stage is to be told again, and reports it.

    The root may end as well as its stages, and the next one is to know.

    Attributes:
        paused: By fetcher's name, whether its jobs are held back as well.
    """

    _root: RootActor
    paused: dict[str, bool]

    @property
    def all_paused(self) -> bool:
        """Whether no fetcher polls."""
        names = {each.name for each in self._root.fetchers}
        return bool(names) and names <= self.paused.keys()

    def pause(self, names: Iterable[str], *, hold: bool) -> list[str]:
        """Stop the polling of these fetchers, of all if none is named.

        Raises:
            TuningError: There is no such fetcher.
        """
        chosen = self.fetchers(names)
        for name in chosen:
            self.paused[name] = hold
            self._root.reporter.paused(name, hold=hold)
            self._root.tell(name, Pause(hold=hold))
            self._root.log.info("fetcher.paused", fetcher=name, hold=hold)
        return chosen

    def resume(self, names: Iterable[str]) -> list[str]:
        """Let these fetchers poll again, all if none is named.

        Raises:
            TuningError: There is no such fetcher.
        """
        chosen = self.fetchers(names)
        for name in chosen:
            if self.paused.pop(name, None) is not None:
                self._root.reporter.resumed(name)
                self._root.log.info("fetcher.resumed", fetcher=name)
            self._root.tell(name, Resume())
        return chosen

    def change(self, values: dict[str, Any], names: Iterable[str]) -> list[str]:
        """Change values for these stages, for all of the right kind if none is named.

        Names of processors are those of their kind, ``sqrt`` for ``sqrt-1``. All
        is checked before anything is changed.

        Raises:
            TuningError: A value cannot be set, or there is no such stage.
        """
        checked = _checked(values)
        fetchers = _only(checked, "fetcher")
        processors = _only(checked, "processor")
        chosen = set(names)
        kinds = {each.name for each in self._root.config.processors}
        known = kinds | {each.name for each in self._root.fetchers}
        if unknown := chosen - known:
            raise TuningError(f"there is no {_listed(unknown)}, only: {_listed(known)}")
        changed = [
            self._tune(member, fetchers)
            for member in self._root.fetchers
            if fetchers and (not chosen or member.name in chosen)
        ]
        changed += [
            self._tune(member, processors)
            for member in self._root.processors
            if processors and (not chosen or member.config.name in chosen)
        ]
        self._keep_for_new_ones(processors, chosen or kinds)
        self._report(fetchers, processors, chosen)
        if processors:
            self._root.remote.retune()
        self._root.log.info("stage.tuned", stages=changed, **checked)
        return changed

    def stage_started(self, name: str) -> None:
        """Tell a restarted fetcher what it cannot know."""
        if name in self.paused:
            self._root.tell(name, Pause(hold=self.paused[name]))

    def fetchers(self, names: Iterable[str]) -> list[str]:
        """The fetchers that are named, all if none is.

        Raises:
            TuningError: There is no such fetcher.
        """
        known = [each.name for each in self._root.fetchers]
        chosen = list(names) or known
        if unknown := set(chosen) - set(known):
            raise TuningError(
                f"there is no fetcher {_listed(unknown)}, only: {_listed(known)}"
            )
        return chosen

    def _tune(self, member: Member[Any], values: dict[str, Any]) -> str:
        member.config = replace(member.config, **values)
        self._root.tell(member.name, Tune(config=member.config))
        return member.name

    def _keep_for_new_ones(self, values: dict[str, Any], kinds: set[str]) -> None:
        config = self._root.config
        processors = tuple(
            replace(each, **values) if each.name in kinds else each
            for each in config.processors
        )
        self._root.config = replace(config, processors=processors)

    def _report(
        self, fetchers: dict[str, Any], processors: dict[str, Any], chosen: set[str]
    ) -> None:
        kinds = (each.name for each in self._root.config.processors)
        values = {each.name: fetchers for each in self._root.fetchers}
        values |= dict.fromkeys(kinds, processors)
        for name, tuned in values.items():
            if tuned and (not chosen or name in chosen):
                self._root.reporter.tuned(name, tuned)


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    if not values:
        raise TuningError(f"nothing to set, expected one of {', '.join(LIVE_OPTIONS)}")
    checked = {}
    for name, value in values.items():
        if name not in LIVE_OPTIONS:
            raise TuningError(
                f"{name!r} cannot be set while it runs, expected one of "
                f"{', '.join(LIVE_OPTIONS)}"
            )
        kind = LIVE_OPTIONS[name].live_type
        try:
            checked[name] = kind.check(value)
        except ValueError:
            raise TuningError(
                f"{name} must be {kind.expected}, got {value!r}"
            ) from None
    return checked


def _only(values: dict[str, Any], kind: str) -> dict[str, Any]:
    chosen = {name: value for name, value in values.items() if name in LIVE[kind]}
    # A floor for asking again that suited the old window need not suit the new.
    return chosen | ({"min_demand": None} if "max_demand" in chosen else {})


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
