"""Failures for Sentry, as a hook: ``failed = "actors.hooks.sentry:tell"``, for example.

The environment says where they go (``SENTRY_DSN``), and whatever else the SDK takes
from it (``SENTRY_ENVIRONMENT``, ``SENTRY_RELEASE``).
"""

from __future__ import annotations

from typing import Any

from actors.host.redaction import redact

try:
    import sentry_sdk
except ImportError as error:
    raise ImportError(
        "the hook for Sentry needs its SDK, which is not installed: "
        "pip install 'lowtide[sentry]'"
    ) from error

_begun = False


def tell(event: dict[str, Any]) -> None:
    """The hook: send what has failed; a job's payload stays here."""
    global _begun  # noqa: PLW0603 - once, in the process that calls hooks
    if not _begun and not sentry_sdk.is_initialized():
        sentry_sdk.init(default_integrations=False)
    _begun = True
    if event.get("error") is not None:
        sentry_sdk.capture_event(sentry_event(event))


def sentry_event(event: dict[str, Any]) -> Any:
    """An event as Sentry has it; alike ones come into one group."""
    kind, _, value = redact(str(event["error"])).partition(": ")
    stage = event.get("fetcher") or event.get("stage")
    level = "error" if event["event"] != "failed" else "warning"
    tags = {
        "event": event["event"],
        "stage": stage,
        "processor": event.get("processor"),
        "attempt": event.get("attempt"),
    }
    return {
        "level": level,
        "logger": "lowtide",
        "timestamp": event["at"],
        "exception": {"values": [{"type": kind, "value": value}]},
        "fingerprint": ["lowtide", event["event"], str(stage), kind],
        "tags": {key: str(each) for key, each in tags.items() if each is not None},
        "extra": {
            "job_id": event.get("job_id"),
            "trace": redact(str(event.get("trace") or "")),
        },
    }
