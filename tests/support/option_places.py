"""What is found in all places of an option ``poll_jobs``, as JSON."""

import contextlib
import io
import json
import os
from pathlib import Path

from actors.main import main
from actors.testing.harness import Harness
from scripts.settings_table import page

OWN = '[[fetcher]]\nname = "a"\npoll_jobs = 8\n'
FILES = {
    "good.toml": 'poll_jobs = 9\n[[fetcher]]\nname = "a"\n',
    "own.toml": OWN,
    "bad.toml": "poll_jobs = 0\n" + OWN.replace("8", '"x"'),
}


def said(*words: str, **environment: str) -> str:
    """Run a command here; all that it prints, on one line."""
    os.environ.update(environment)
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(out),
        contextlib.suppress(SystemExit),
    ):
        main(words)
    for name in environment:
        del os.environ[name]
    return " ".join(out.getvalue().split())


for name, text in FILES.items():
    Path(name).write_text(text)
harness = Harness(poll_jobs=5)
harness.command({"verb": "set", "names": [], "values": {"poll_jobs": 7}})
show = ("check", "--show")
found = {
    "run": said("run", "--help"),
    "set": said("set", "--help"),
    "default": said(*show),
    "flag": said(*show, "--poll-jobs", "6"),
    "variable": said(*show, LOWTIDE_POLL_JOBS="4"),
    "top": said(*show, "--config", "good.toml"),
    "table": said(*show, "--config", "own.toml"),
    "bad": said("check", "--config", "bad.toml", "--poll-jobs", "-1"),
    "bad set": said("set", "--poll-jobs", "0"),
    "misspelt": said("check", "--pol-jobs", "3"),
    "tuned": [each for each in harness.events if each["event"] == "stage.tuned"],
    "page": page(),
}
print(json.dumps(found))  # noqa: T201
