"""Job functions of a module that makes its process's threads eventlet's."""
# ruff: noqa: E402

from __future__ import annotations

import importlib

importlib.import_module("eventlet").monkey_patch()

from tests.user_code.green_jobs import fetch, note, process, process_async

__all__ = ["fetch", "note", "process", "process_async"]
