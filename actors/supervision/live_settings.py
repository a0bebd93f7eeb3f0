"""What a person changes while it runs: pauses, and the values of ``set``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from actors.config.model import LIVE_OPTIONS
from actors.config.overrides import live_values
from actors.status import commands
from actors.supervision.children import Role
from actors.supervision.control_verbs import CommandError, fetchers_named, names_in
from actors.supervision.messages import Pause, Resume

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from actors.demand.job import Process
    from actors.host.control_socket import Request
    from actors.supervision.actor import Means
    from actors.supervision.children import Child
    from actors.supervision.effects import Effect


class Machines(Protocol):
    """The other machines, which are to work by the same values."""

    @property
    def processors(self) -> Iterator[Process]:
        """Every processor there."""

    def retune(self) -> list[Effect]:
        """Tell every machine how processors are configured now."""


@dataclass(slots=True)
class LiveSettings:
    """Holds what a restarted stage is to be told again, and reports it.

    The root may end as well as its stages, and the next one is to know.

    Attributes:
        paused: By fetcher's name, whether its jobs are held back as well.
    """

    _means: Means
    _machines: Machines
    paused: dict[str, bool]

    @property
    def all_paused(self) -> bool:
        """Whether no fetcher polls."""
        names = {each.name for each in self._means.supervisor.fetchers}
        return bool(names) and names <= self.paused.keys()

    def pause(self, request: Request) -> None:
        """Stop the polling of the fetchers that are named, of all if none is.

        Raises:
            CommandError: There is no such fetcher.
        """
        hold = commands.Pause.of(request.command).hold is True
        chosen = fetchers_named(self._means.supervisor, request)
        for name in chosen:
            self.paused[name] = hold
            self._means.reporter.paused(name, hold=hold)
            self._means.tell(name, Pause(hold=hold))
            self._means.log.info("fetcher.paused", fetcher=name, hold=hold)
        request.answer(commands.Paused(paused=chosen))

    def resume(self, request: Request) -> None:
        """Let the fetchers that are named poll again, all if none is.

        Raises:
            CommandError: There is no such fetcher.
        """
        chosen = fetchers_named(self._means.supervisor, request)
        for name in chosen:
            if self.paused.pop(name, None) is not None:
                self._means.reporter.resumed(name)
                self._means.log.info("fetcher.resumed", fetcher=name)
            self._means.tell(name, Resume())
        request.answer(commands.Resumed(resumed=chosen))

    def change(self, request: Request) -> None:
        """Change values of the stages that are named, of all of the right kind if none.

        Names of processors are those of their kind, ``sqrt`` for ``sqrt-1``. All
        is checked before anything is changed.

        Raises:
            CommandError: A value cannot be set, or there is no such stage.
        """
        values = commands.SetValues.of(request.command).values
        if not isinstance(values, dict):
            raise CommandError(f"values must be an object, got {values!r}")
        checked, chosen = _checked(values), set(names_in(request))
        fetchers = live_values(checked, "fetcher")
        processors = live_values(checked, "processor")
        supervisor = self._means.supervisor
        kinds = {each.name for each in supervisor.system.processors}
        known = kinds | {each.name for each in supervisor.fetchers}
        if unknown := chosen - known:
            raise CommandError(
                f"there is no {_listed(unknown)}, only: {_listed(known)}"
            )
        self._check_batches(processors, chosen or kinds)
        changed = [
            self._tune(child, its)
            for child in supervisor.stages
            if (its := fetchers if child.role is Role.FETCHER else processors)
            and (not chosen or child.config.name in chosen)
        ]
        self._keep_for_new_ones(processors, chosen or kinds)
        self._report(fetchers, processors, chosen)
        if processors:
            self._means.carry_out(self._machines.retune())
            changed += sorted(
                process.name
                for process in self._machines.processors
                if not chosen or process.kind in chosen
            )
        self._means.log.info("stage.tuned", stages=changed, **checked)
        request.answer(commands.WasSet(set=changed))

    def stage_started(self, name: str) -> None:
        """Tell a restarted fetcher what it cannot know."""
        if name in self.paused:
            self._means.tell(name, Pause(hold=self.paused[name]))

    def _tune(self, child: Child[Any], values: dict[str, Any]) -> str:
        config = replace(child.config, **values)
        self._means.carry_out(self._means.supervisor.tune(child, config))
        return child.name

    def _check_batches(self, values: dict[str, Any], kinds: Container[str]) -> None:
        # As at the start: a window that is less than a batch would never fill one.
        if (most := values.get("max_demand")) is None:
            return
        for each in self._means.supervisor.system.processors:
            least = each.batch_size or 1
            if each.name not in kinds or each.is_manual or least == 1:
                continue
            if isinstance(most, str) or most < least:
                raise CommandError(
                    f"max_demand must be at least batch_size ({least}) for processor "
                    f"{each.name!r}, got {most}"
                )

    def _keep_for_new_ones(self, values: dict[str, Any], kinds: set[str]) -> None:
        system = self._means.supervisor.system
        processors = tuple(
            replace(each, **values) if each.name in kinds else each
            for each in system.processors
        )
        self._means.supervisor.system = replace(system, processors=processors)

    def _report(
        self, fetchers: dict[str, Any], processors: dict[str, Any], chosen: set[str]
    ) -> None:
        supervisor = self._means.supervisor
        kinds = (each.name for each in supervisor.system.processors)
        values = {each.name: fetchers for each in supervisor.fetchers}
        values |= dict.fromkeys(kinds, processors)
        for name, tuned in values.items():
            if tuned and (not chosen or name in chosen):
                self._means.reporter.tuned(name, tuned)


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    if not values:
        raise CommandError(f"nothing to set, expected one of {', '.join(LIVE_OPTIONS)}")
    checked = {}
    for name, value in values.items():
        if name not in LIVE_OPTIONS:
            raise CommandError(
                f"{name!r} cannot be set while it runs, expected one of "
                f"{', '.join(LIVE_OPTIONS)}"
            )
        live_type = LIVE_OPTIONS[name].live_type
        try:
            checked[name] = live_type.check(value)
        except ValueError:
            raise CommandError(
                f"{name} must be {live_type.expected}, got {value!r}"
            ) from None
    return checked


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
