"""What Sentry is told."""

from __future__ import annotations

from typing import Any

import pytest

from actors.host import redaction

sentry_sdk = pytest.importorskip("sentry_sdk")

FAILED = {
    "event": "failed",
    "at": 5.0,
    "fetcher": "desk",
    "key": 3,
    "job_id": 7,
    "job": {"id": 7, "card": "4111 1111 1111 1111"},
    "attempt": 2,
    "processor": "sort-1",
    "error": "KeyError: 'coffee'",
    "trace": "Traceback ...",
}


def test_a_failure_is_sent_without_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from sentry_sdk.transport import Transport  # noqa: PLC0415 - see above

    from actors.hooks import sentry  # noqa: PLC0415 - likewise

    sent: list[Any] = []

    class Memory(Transport):  # type: ignore[misc]
        def capture_envelope(self, envelope: Any) -> None:
            sent.append(envelope.get_event())

    sentry_sdk.init(
        dsn="http://key@localhost/1",
        transport=Memory,
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    try:
        sentry.tell({"event": "done", "at": 1.0})
        sentry.tell(FAILED)
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)

    [event] = sent
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("KeyError", "'coffee'")
    assert event["tags"]["stage"] == "desk"
    assert event["extra"]["job_id"] == 7
    assert "4111" not in str(event)


def test_no_failure_that_is_sent_holds_a_secret_that_is_known() -> None:
    from actors.hooks import sentry  # noqa: PLC0415 - see above

    secret = "hunter2-and-more"  # noqa: S105 - the test's own
    redaction.install([secret])
    try:
        event = sentry.sentry_event(
            FAILED | {"error": f"Refused: {secret}", "trace": f"at {secret}"}
        )
    finally:
        redaction.install(())

    assert secret not in str(event)
    assert event["extra"]["trace"] == "at ***"
