"""``simulate``: a configuration on virtual time, with everything that can go wrong."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.commands.exit_codes import Exit
from actors.commands.options import add_settings, read_config
from actors.commands.terminal import complain, note, say_text
from actors.config.errors import ConfigError
from actors.config.option import SECONDS
from actors.user_code.functions import FunctionError, find_last, load

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator
    from random import Random

    from actors.commands.options import Verbs
    from actors.config.model import SystemConfig
    from actors.testing.simulation import Account, Simulation

#: Jobs in an hour, at the most: the quiet source that this is made for.
JOBS_PER_HOUR = 100
#: Processes that die, hang or are cut off in an hour, at the most.
TROUBLES_PER_HOUR = 24
SHOTS_PER_HOUR = 6
SECONDS_PER_HOUR = 3600.0
#: How often a long run tells how far it is, in real seconds.
PROGRESS_S = 0.5

#: Moves a terminal's cursor to the beginning of the line and clears it.
_CLEAR_LINE = "\r\x1b[K"


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "simulate",
        help="run the configuration on virtual time, with faults",
        description="Run the configuration in one thread on virtual time while "
        "processes die, hang and lose messages, all drawn from one seed, and take "
        "the account. fetch is not called; process is, for each job.",
    )
    parser.set_defaults(verb=simulate)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="0")
    parser.add_argument(
        "--hours",
        type=SECONDS.parse,
        default=1.0,
        metavar="H",
        help="virtual hours in which things go wrong (1)",
    )
    parser.add_argument(
        "--jobs", metavar="FILE", help="sample jobs, one JSON value on each line"
    )
    add_settings(parser)


def simulate(arguments: Namespace) -> int:
    """Run one schedule; print its account, or the command that repeats it.

    Raises:
        ConfigError: The configuration cannot be used, or there are no jobs for it.
    """
    # Imported here: the other verbs need neither this nor Thespian.
    from actors.testing.chaos import Profile  # noqa: PLC0415
    from actors.testing.invariants import Violation  # noqa: PLC0415
    from actors.testing.simulation import Simulation  # noqa: PLC0415

    # The user's modules stand where the user does.
    find_last()
    config = read_config(arguments)
    make_job = _jobs(arguments, config)
    _check_functions(config)
    hours = arguments.hours
    profile = Profile(
        faults_s=hours * SECONDS_PER_HOUR,
        jobs=max(1, round(hours * JOBS_PER_HOUR)),
        troubles=max(1, round(hours * TROUBLES_PER_HOUR)),
        shots=max(1, round(hours * SHOTS_PER_HOUR)),
    )
    simulation = Simulation(arguments.seed, config, {}, make_job, profile)
    try:
        with _progress(simulation, hours):
            account = simulation.run()
    except Violation as violation:
        complain(f"seed {arguments.seed}: {violation}")
        words = ["python", "-m", "actors.main", *sys.argv[1:]]
        note(f"to see it again: {shlex.join(words)}")
        return Exit.FAILURE
    say_text(_describe(account, journal=config.journal is not None))
    return Exit.NOTHING_LEFT


@contextlib.contextmanager
def _progress(simulation: Simulation, hours: float) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    simulation.each_second = _Progress(simulation, hours).tell
    try:
        yield
    finally:
        print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)


class _Progress:
    """One line of a terminal that says how far a simulation is."""

    def __init__(self, simulation: Simulation, hours: float) -> None:
        self._simulation = simulation
        self._hours = hours
        self._tell_at = 0.0

    def tell(self) -> None:
        """Write it, now and then."""
        now = time.monotonic()
        if now < self._tell_at:
            return
        self._tell_at = now + PROGRESS_S
        passed = self._simulation.world.agenda.elapsed / SECONDS_PER_HOUR
        told = f"{passed:.2f} of {self._hours:g} virtual hours"
        if passed > self._hours:
            told = f"{passed:.2f} virtual hours, waiting for every job to end"
        done = len(self._simulation.chaos.done)
        line = f"{_CLEAR_LINE}{told}, {done} troubles"
        print(line, end="", file=sys.stderr, flush=True)


def _check_functions(config: SystemConfig) -> None:
    for each in config.processors:
        try:
            load(each.process)
        except FunctionError as error:
            raise ConfigError(str(error)) from error


def _describe(account: Account, *, journal: bool) -> str:
    where = ", ".join(f"{count} {what}" for what, count in account.accounting.items())
    hours = account.virtual_s / SECONDS_PER_HOUR
    lines = [*account.troubles]
    lines.append(
        f"seed {account.seed}: {hours:.2f} virtual hours, {account.runs} starts"
    )
    if journal:
        lines.append(
            f"{account.handed_out} handed out = {account.kept} fetched + "
            f"{account.duplicates} that had come before + {account.lost} not kept when "
            "their fetcher died"
        )
    else:
        lines.append(
            f"{account.handed_out} handed out; without a journal the account is of the "
            "fetchers that were there at the end"
        )
    return "\n".join((*lines, where))


def _jobs(arguments: Namespace, config: SystemConfig) -> Callable[[Random, int], Any]:
    if arguments.jobs is not None:
        samples = _samples(Path(arguments.jobs))
        return lambda draw, number: _renamed(draw.choice(samples), number)
    if config.needs_number_server:
        return lambda draw, number: {"id": number, "number": draw.randint(0, 10**6)}
    raise ConfigError(
        "simulate does not call fetch, which would take jobs from its source: say "
        "--jobs FILE, a file with one sample job, a JSON value, on each line"
    )


def _samples(path: Path) -> list[Any]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    samples = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            samples.append(json.loads(line))
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: expected JSON, {error}") from error
    if not samples:
        raise ConfigError(f"{path}: expected one job on each line, there is none")
    return samples


def _renamed(sample: Any, number: int) -> Any:
    # The same id would be the same job, which is not run again.
    if not isinstance(sample, dict) or "id" not in sample:
        return sample
    text = isinstance(sample["id"], str)
    return sample | {"id": f"{sample['id']}-{number}" if text else number}
