"""Whether a system can do its work now, and if not, why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.demand.polling import GRACE_S
from actors.status import reasons

if TYPE_CHECKING:
    from actors.status.model import FetcherStatus, SystemStatus


def problems(status: SystemStatus) -> list[str]:
    """What keeps a system from its work; nothing where it is ready.

    Fetchers have polled lately and were answered, the journal can be written,
    the quarantine has room, and a processor is there. A pause and a full buffer are
    no problems: a person wanted the one, and the other goes away by itself.

    Args:
        status: As ``status --json`` prints it.
    """
    found = ["it is draining"] if status["state"] == "draining" else []
    found += [text for each in status["fetchers"] for text in _of_fetcher(each)]
    if not any(each["state"] == "running" for each in status["processors"]):
        found.append("no processor is there")
    return found


def _of_fetcher(fetcher: FetcherStatus) -> list[str]:
    name = fetcher["name"]
    if fetcher["state"] not in ("running", "paused", "draining", "faulted"):
        return [f"{name} is {fetcher['state']}"]
    if full := _full(fetcher):
        return [f"{name} {full}"]
    match fetcher["waiting_for"]:
        case reasons.BACKOFF:
            error = fetcher.get("last_error") or "its source failed"
            return [f"{name} backs off: {error}"]
        case reasons.PAUSED | reasons.HOLD | reasons.ROOM | reasons.DRAIN:
            return []
        case _:
            return _if_late(fetcher)


def _full(fetcher: FetcherStatus) -> str:
    if fetcher.get("journal_error"):
        return f"cannot write its journal: {fetcher['journal_error']}"
    if fetcher.get("quarantine_full"):
        count = fetcher["quarantined"]
        return f"does not poll: its quarantine is full ({count} jobs)"
    if fetcher.get("journal_full"):
        return "does not poll: the journal has reached --journal-mib"
    return ""


def _if_late(fetcher: FetcherStatus) -> list[str]:
    if fetcher["waiting_for"] == reasons.DEMAND and fetcher.get("on_demand"):
        return []
    name = fetcher["name"]
    age_s = fetcher["last_poll_age_s"]
    if (running_s := fetcher.get("fetching_s")) is not None:
        may_s = fetcher["fetch_may_take_s"]
        text = f"{name} has been fetching for {running_s:.0f} s, expected {may_s:.0f} s"
        return [f"{text} at most"] if running_s > may_s else []
    if age_s is None:
        return [f"{name} has not been polled yet"]
    late = age_s > 3 * fetcher["every_s"] + GRACE_S
    if late and not fetcher["next_poll_s"]:
        return [f"{name} was last polled {age_s:.0f} s ago"]
    return []
