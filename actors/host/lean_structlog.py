"""structlog, imported without rich.

Where rich is installed, structlog imports it for tracebacks in colour. The log has
its traces as text, and every process of a system would carry rich along: 5 MB, and
a sixth of the time that a start takes. ``top``, which draws with it, imports it
itself.
"""

import sys

_here = "rich" in sys.modules
if not _here:
    # An import of it fails now.
    sys.modules["rich"] = None  # type: ignore[assignment]

import structlog  # noqa: E402 - what is above is for it

if not _here:
    del sys.modules["rich"]

__all__ = ["structlog"]
