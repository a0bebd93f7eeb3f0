"""Jobs that lie in a directory, one file each, and what is done with them."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast


def fetch(directory: str) -> Any:
    """Take the first job of the directory."""
    for path in sorted(Path(directory).glob("*.json")):
        job = json.loads(path.read_text())
        path.unlink()
        return job
    return None


def settle(job: Any, outcome: Any, directory: str) -> None:
    """Write down what the source is told, a line each."""
    told = Path(directory).parent / "told.jsonl"
    with told.open("a") as file:
        file.write(json.dumps([job["id"], outcome]) + "\n")


def refuse_odd(job: Any) -> Any:
    """Fail for odd ids."""
    if job["id"] % 2:
        raise ValueError("odd")
    return double(job)


def double(job: Any) -> Any:
    """Twice its id."""
    return 2 * job["id"]


def passed(job: Any) -> Any:
    """The job as it is, for the next step."""
    return job


def parity(job: Any) -> str:
    """Where it belongs: not to the same of two processors called last, here or far."""
    return "odd" if job["id"] % 2 else "0"


def pair_of_even(job: Any) -> Any:
    """An even id twice, for the next step; nothing of others."""
    return None if job["id"] % 2 else [job["id"]] * 2


def total(numbers: Any) -> Any:
    """The sum of what a step made of a job."""
    return sum(numbers)


_inside: set[Any] = set()


def alone(job: Any) -> int:
    """How many are in here at a time."""
    _inside.add(job["id"])
    time.sleep(0.002)
    count = len(_inside)
    _inside.discard(job["id"])
    return count


def hesitate(job: Any) -> Any:
    """Fail at first where the last digit is 1, and always where it is 2."""
    number = job["id"]
    if number % 10 == 2 or (number % 10 == 1 and number not in _failed):
        _failed.add(number)
        raise ValueError(number)
    return double(job)


def is_odd(job: Any) -> bool:
    """Whether its id is odd."""
    return bool(job["id"] % 2)


def refuse(job: Any) -> Any:
    """Fail, but for good ones."""
    if not job.get("good"):
        raise ValueError(job["id"])
    return double(job)


def two_at_first(ask: Any) -> None:
    """Ask for two jobs, once."""
    ask(2)


_asks: list[Any] = []


def keep_asking(ask: Any) -> None:
    """Ask for one job, and leave the rest to `one_more`."""
    _asks.append(ask)
    ask(1)


def one_more(job: Any) -> Any:
    """Twice its id; ask for another job while the id is below 3."""
    if job["id"] < 3:
        _asks[-1](1)
    return double(job)


def fail_to_ask(ask: Any) -> None:
    """Ask for what cannot be asked for."""
    ask(1, "nobody")


def fetch_into_one(directory: str) -> Iterator[Any]:
    """Yield each job of the directory, all of them in one and the same dict."""
    row: dict[str, Any] = {"lines": [0]}
    for path in sorted(Path(directory).glob("*.json")):
        row |= json.loads(path.read_text())
        row["lines"][0] = row["id"]
        path.unlink()
        yield row


_answer: dict[str, Any] = {}


def answer_in_one(job: Any) -> Any:
    """Its id, and what was in its lines; the answer is the same dict each time."""
    _answer["id"] = job["id"]
    _answer["lines"] = job.get("lines")
    return _answer


def answer_batch_in_one(jobs: list[Any]) -> Any:
    """The same for a batch, each answer filled into the one before."""
    return [answer_in_one(job) | {} for job in jobs]


def sizes(jobs: list[Any]) -> list[Any]:
    """How many jobs the batch has, for each of them."""
    return [len(jobs) for _ in jobs]


def ruin(job: Any) -> Any:
    """Twice its id; nothing is left of the job."""
    answer = double(job)
    job.clear()
    return answer


def fail_and_ruin(job: Any) -> Any:
    """Fail at first, and leave nothing of the job; its id must be there again."""
    number = job.pop("id")
    if number not in _failed:
        _failed.add(number)
        raise ValueError(number)
    return 2 * number


_failed: set[int] = set()


class _MuteMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")


class MuteError(Exception, metaclass=_MuteMeta):
    """An exception that cannot be asked anything."""

    def __str__(self) -> str:
        raise SystemExit("no words")

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt(name)


class _Trap(dict[str, Any]):
    def items(self) -> Any:
        raise SystemExit("no items")


class _Masked:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise KeyboardInterrupt("no class")


#: Python itself cannot write its traceback.
UNSAYABLE = SyntaxError("unexpected token", cast("Any", "else"))


def _is_syntax(_: Any) -> Any:
    raise UNSAYABLE


def _is_mute(_: Any) -> Any:
    raise MuteError


def _is_interrupted(_: Any) -> Any:
    raise KeyboardInterrupt


def _is_long(_: Any) -> Any:
    raise ValueError("x" * 30_000_000)


ODD: dict[int, Callable[[Any], Any]] = {
    1: _is_syntax,
    2: _is_mute,
    3: _is_interrupted,
    4: _is_long,
    5: lambda _: _Trap(a=1),
    6: lambda _: _Masked(),
    7: lambda _: sys.exit(7),
    8: lambda _: {1: "a", "1": "b"},
}


def odd(job: Any) -> Any:
    """Do something odd for the first ids, and twice the id for the others."""
    return ODD.get(job["id"], double)(job)


def odd_batch(jobs: list[Any]) -> Any:
    """The same as results of a batch, as far as they can be there."""
    return [odd(job) if job["id"] in (5, 6, 8, 9) else UNSAYABLE for job in jobs]


_polls = iter((2, 6, 7))


def fetch_oddly(directory: str) -> Any:
    """Do all that is odd first, one at a poll; then take jobs of the directory."""
    number = next(_polls, None)
    return fetch(directory) if number is None else ODD[number](None)


async def double_later(job: Any) -> Any:
    """Twice its id, as an async function says it."""
    await asyncio.sleep(0)
    return double(job)


def _exits(_: Any) -> Any:
    sys.exit("no place")


ODD_PLACES: dict[int, Callable[[Any], Any]] = {
    1: _exits,
    2: _is_mute,
    3: lambda _: object(),
    4: double_later,
    5: lambda _: [threading.Lock()],
    6: lambda _: {"a", "b"},
    7: lambda job: job.pop("none"),
    8: lambda _: _Masked(),
}


def place_oddly(job: Any) -> Any:
    """Do something odd for the first ids; a place of its own for the others."""
    number = job["id"]
    place = ODD_PLACES.get(number, double)(job)
    job.clear()
    return place


def choose_oddly(job: Any) -> Any:
    """Raise for the first ids, or be async; choose the others that are odd."""
    number = job["id"]
    if number <= 4:
        return [_exits, _is_mute, _is_syntax, double_later][number - 1](job)
    job.clear()
    return number % 2


_never = threading.Event()


def place_never(job: Any) -> Any:
    """Hang for the first id; one place for all others."""
    if job["id"] == 1:
        _never.wait()
    return "place"
