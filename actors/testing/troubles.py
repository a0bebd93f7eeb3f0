"""What befalls whole processes in a schedule: each at its time, drawn from the seed."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from actors.fetcher.actor import FetcherActor
from actors.processor.actor import ProcessorActor

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.testing.base import Node
    from actors.testing.chaos import Chaos
    from actors.testing.world import World

#: The share of quarantined jobs that is decided on at a time.
_CHOSEN = 0.7
#: A lease ends after 60 s of silence: some hangs and cuts are to outlast it.
_LONG_S = 90.0


class Troubles:
    """Carries out one kind of trouble after another."""

    def __init__(self, world: World, chaos: Chaos) -> None:
        self._world = world
        self._chaos = chaos
        self._kinds: tuple[Callable[[], str | None], ...] = (
            self._crash,
            self._crash,
            self._hang,
            self._cut,
            self._attach,
            self._detach,
            self._stop,
            self._restart,
            self._fill_disk,
        )

    def put_down(self, until_s: float) -> None:
        """Choose what happens within this many seconds, and when."""
        draw = self._chaos.random
        if not self._chaos.active:
            return
        for _ in range(draw.randint(0, self._chaos.profile.troubles)):
            kind = draw.choice(self._kinds)
            at = draw.uniform(0.0, until_s)
            self._world.agenda.after(at, partial(self._do, kind))
        # Not a trouble, but a person who comes now and then and looks through the
        # quarantine; with chance of its own, so that all else stays as it is.
        person = Random(f"{self._chaos.seed} decides")  # noqa: S311 - repeatable
        for _ in range(person.randint(0, 2)):
            at = person.uniform(0.0, until_s)
            self._world.agenda.after(
                at, partial(self._do, partial(_decide, self._world, person))
            )

    def heal(self) -> None:
        """Undo all that can be undone."""
        self._chaos.calm_down()
        for node in tuple(self._world.base.nodes.values()):
            node.resume()

    def _do(self, kind: Callable[[], str | None]) -> None:
        if self._world.running and (what := kind()):
            self._chaos.done.append(what)

    def _crash(self) -> str:
        node = self._any()
        self._world.base.kill(node)
        return f"{node.name} was killed"

    def _hang(self) -> str:
        node = self._any()
        node.hung = True
        seconds = self._some_time()
        self._world.agenda.after(seconds, node.resume)
        return f"{node.name} hung for {seconds:.1f} s"

    def _cut(self) -> str | None:
        fetchers, processors = self._of(FetcherActor), self._of(ProcessorActor)
        if not fetchers or not processors:
            return None
        draw, chaos = self._chaos.random, self._chaos
        one, other = draw.choice(fetchers).name, draw.choice(processors).name
        seconds = self._some_time()
        chaos.cut(one, other)
        self._world.agenda.after(seconds, lambda: chaos.join(one, other))
        return f"{one} and {other} were cut off for {seconds:.1f} s"

    def _attach(self) -> str:
        kind = self._chaos.random.choice(self._world.config.processors).name
        self._world.command({"verb": "attach", "processor": kind})
        return f"a {kind} was attached"

    def _detach(self) -> str | None:
        processors = self._of(ProcessorActor)
        if not processors:
            return None
        name = self._chaos.random.choice(processors).name
        self._world.command({"verb": "detach", "names": [name]})
        return f"{name} was detached"

    def _stop(self) -> str:
        self._world.command({"verb": "stop"})
        return "the system was stopped"

    def _restart(self) -> str:
        self._world.kill()
        return "all processes were killed"

    def _fill_disk(self) -> str:
        chaos, seconds = self._chaos, self._some_time()
        chaos.disk_error = "database or disk is full"

        def empty() -> None:
            chaos.disk_error = None

        self._world.agenda.after(seconds, empty)
        return f"the disk was full for {seconds:.1f} s"

    def _some_time(self) -> float:
        draw = self._chaos.random
        return draw.choice((0.1, 1.0, 10.0, _LONG_S)) * (0.5 + draw.random())

    def _any(self) -> Node:
        return self._chaos.random.choice(list(self._world.base.nodes.values()))

    def _of(self, kind: type) -> list[Node]:
        nodes = self._world.base.nodes.values()
        return [each for each in nodes if isinstance(each.stage, kind)]


def _decide(world: World, person: Random) -> str | None:
    keys: dict[str, list[int]] = {}
    for row in world.journal_rows():
        if row["state"] == "quarantined" and person.random() < _CHOSEN:
            keys.setdefault(row["fetcher"], []).append(row["key"])
    if not keys or world.control is None:
        return None
    action = person.choice(("retry", "retry", "discard"))
    for name, chosen in keys.items():
        one = {"verb": "jobs", "action": action, "keys": {name: chosen}}
        for _ in range(person.randint(1, 2)):
            world.command(one)
    return f"{action} of {sum(map(len, keys.values()))} quarantined jobs"
