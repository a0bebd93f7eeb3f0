"""How the processors of a machine that joined are, for the leader and for people."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from actors.supervision.gather import StatusRound
from actors.supervision.messages import StatusRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.actor_system.stage import Stage
    from actors.cluster.member_processors import Crew
    from actors.demand.job import Process
    from actors.status.model import MemberProcessorStatus
    from actors.supervision.messages import StatusAnswer

#: A processor that does not answer within so many seconds is told as silent. The
#: leader waits a little longer.
STATUS_WITHIN_S = 0.3


class CrewRounds:
    """Asks every processor of a crew, for whoever wants to know."""

    def __init__(self, stage: Stage, crew: Crew) -> None:
        self._stage = stage
        self._crew = crew
        self._rounds: dict[int, StatusRound] = {}
        self._count = 0

    def ask(self, then: Callable[[dict[str, StatusAnswer]], None]) -> None:
        """Ask; ``then`` gets the answers by name."""
        self._count += 1
        processes = self._crew.processes
        names = {process.name for process, _ in processes}
        deadline = self._stage.now() + STATUS_WITHIN_S
        self._rounds[self._count] = StatusRound(deadline, names, then)
        for _, address in processes:
            self._stage.send(address, StatusRequest(number=self._count))
        if not names:
            self._close(self._count)

    def answered(self, answer: StatusAnswer) -> None:
        """Note an answer; one to a round that is over is ignored."""
        if (status_round := self._rounds.get(answer.number)) is not None:
            status_round.answered(answer)
            if not status_round.missing:
                self._close(answer.number)

    def tick(self, now: float) -> None:
        """Do without those that are late."""
        for number, each in tuple(self._rounds.items()):
            if now >= each.deadline:
                self._close(number)

    def next_tick(self) -> float | None:
        """When the next round is over."""
        return min((each.deadline for each in self._rounds.values()), default=None)

    def _close(self, number: int) -> None:
        status_round = self._rounds.pop(number)
        restarts = self._crew.restarts()
        status_round.then(
            {
                name: _with_restarts(answer, restarts.get(name, 0))
                for name, answer in status_round.answers.items()
            }
        )


def describe_crew(
    crew: Crew, answers: Mapping[str, StatusAnswer]
) -> list[MemberProcessorStatus]:
    """Each processor as ``status`` shows it on its own machine."""
    return [
        _described(process, answers.get(process.name)) for process, _ in crew.processes
    ]


def _described(process: Process, answer: StatusAnswer | None) -> MemberProcessorStatus:
    if answer is not None and answer.processor is not None:
        return {"name": process.name, **answer.processor}
    return {
        "name": process.name,
        "pid": process.pid,
        "host": process.host,
        "state": "silent",
    }


def _with_restarts(answer: StatusAnswer, restarts: int) -> StatusAnswer:
    if answer.processor is None:
        return answer
    return replace(answer, processor={**answer.processor, "restarts": restarts})
