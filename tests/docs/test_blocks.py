"""Every block of the docs is of a kind that is checked, and what it names is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actors.main import parse
from tests.docs import test_shown, test_tutorial
from tests.docs.blocks import (
    ROOT,
    Block,
    anchors,
    blocks,
    commands,
    inline_code,
    links,
    shows,
)

LANGUAGES = ("console", "python", "text", "toml")
#: Commands that no test runs as they stand, and why.
NOT_RUN = {
    "scripts/run": "installs; what it starts is run as python -m actors.main",
    "scripts/test": "runs this",
    "scripts/bench": "takes minutes: tests/system/test_bench.py",
    "scripts/profile": "takes minutes: tests/system/test_bench.py",
    "scripts/chaos": "takes minutes",
    "lowtide top": "wants a terminal: tests/system/test_top.py",
    "lowtide run --web": "a system of its own: tests/system/test_web.py",
    "openssl": "not ours",
    "umask": "not ours",
    "lowtide key": "wants a key: tests/cluster/test_keys.py",
    "lowtide run --bind": "wants another machine: tests/faults/test_join.py",
    "python -m actors.main --bind": "likewise",
    "lowtide join": "likewise",
    "python -m actors.main join": "likewise",
}
#: What comes before a TOML block that is a part of a configuration.
PREAMBLES = {
    'demand = "letters:ten_a_minute"': (
        '[[processor]]\nname = "send"\nprocess = "letters:send"\n'
    ),
    "rules = [": (
        '[[fetcher]]\nname = "a"\nfetch = "domain.api:fetch"\n'
        '[fetcher.options]\nurl = "https://api.example"\n'
    ),
    '[[processor]]\nname = "sqrt"\n': (
        '[[fetcher]]\nname = "north"\n[[fetcher]]\nname = "south"\n'
    ),
}
#: The shell's, and others'.
NOT_OURS = ("umask", "openssl", "source", "pip", "mkdir", "cd", "kill", "echo")
#: What stands for a word of the kind that a reader puts in.
PLACEHOLDERS = {"N": "3", "S": "3", "FILE": "file", "PORT": "4571", "NAME": "name"}


def of(*languages: str) -> list[Block]:
    return [each for each in blocks() if each.language in languages]


def test_every_block_says_what_it_is() -> None:
    assert [str(each) for each in blocks() if each.language not in LANGUAGES] == []


def test_every_block_that_can_run_is_run() -> None:
    def is_run(block: Block) -> bool:
        in_order = block in test_tutorial.BLOCKS
        if in_order or block in test_shown.taken.blocks or block.language == "toml":
            return True
        if block.language == "console":
            typed = [" ".join(each) for c in commands(block) for each in c.parts]
            return all(line.startswith(tuple(NOT_RUN)) for line in typed)
        # Drawn with lines: a picture.
        return block.language == "text" and re.search("[─►]", block.text) is not None

    assert [str(each) for each in blocks() if not is_run(each)] == []


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_every_configuration_is_sound(block: Block, modules: Path) -> None:
    [before] = [
        text for start, text in PREAMBLES.items() if block.text.startswith(start)
    ] or [""]
    file = modules / "lowtide.toml"
    file.write_text(before + block.text)

    done = subprocess.run(
        [sys.executable, "-m", "actors.main", "check", "--config", str(file)],
        # What it takes from the environment is there.
        env=os.environ
        | dict.fromkeys(re.findall(r"\benv:(\w+)", block.text), "secret")
        | {"PYTHONPATH": f"{modules}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_every_command_is_one_of_ours(block: Block) -> None:
    for command in commands(block):
        for words in command.parts:
            check_words(words)


def check_words(words: list[str]) -> None:
    match words:
        case ["lowtide", verb]:
            parsed(verb, "--help")
        case ["lowtide", *rest] | ["python", "-m", "actors.main", *rest]:
            parsed(*rest)
        case ["python", script, *rest]:
            check_options([script], rest)
        case [script, *rest] if script.startswith("scripts/"):
            assert os.access(ROOT / script, os.X_OK), script
            if rest:
                check_options(program_of(script), rest)
        case _:
            assert words[0] in NOT_OURS, words


def parsed(*words: str) -> None:
    try:
        parse(words)
    except SystemExit as ended:
        if not ended.code:
            return  # as --help does
        pytest.fail(f"lowtide {' '.join(words)}: exit code {ended.code}")


def program_of(script: str) -> list[str]:
    """What a script hands its words to."""
    text = (ROOT / script).read_text()
    found = re.search(r"exec \S*bin/python\"? (.*?) ?\"\$@\"", text)
    assert found is not None, script
    return found[1].split()


def check_options(program: list[str], words: list[str]) -> None:
    options = [word for word in words if word.startswith("--")]
    if not options:
        return
    shown = subprocess.run(
        [sys.executable, *program, "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for option in options:
        assert re.search(rf"{option}\b", shown), f"{program} has no {option}"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (document, code)
        for document, code in inline_code()
        if re.match(r"(lowtide|python -m actors\.main) [a-z-]", code)
        and not code.startswith("lowtide 0.")  # what --version says
    ],
)
def test_every_command_within_a_text_is_one_of_ours(
    document: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in re.split(r" && ", code.replace("...", "")):
        words = part.replace("MODULE:FUNCTION", "m:f").split()
        words = [PLACEHOLDERS.get(word, word).split("|")[0] for word in words]
        try:
            check_words(words)
        except pytest.fail.Exception:
            # A text may name a verb and leave out what follows it.
            assert "arguments are required" in capsys.readouterr().err


def test_every_script_that_is_named_is_there() -> None:
    named = {
        name
        for _, code in inline_code()
        for name in re.findall(r"(?<![\w/.])scripts/[a-z_]+", code)
    }

    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_link_leads_somewhere() -> None:
    broken = []
    for document, target in links():
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        to = document.parent / path if path else document
        if not to.exists() or (anchor and anchor not in anchors(to)):
            broken.append(f"{document.relative_to(ROOT)}: {target}")

    assert broken == []


def test_what_is_shown_is_compared_but_for_its_numbers() -> None:
    shown = ("41 done, 0.5 s", "...", "attached processor-3 ...")

    assert shows(shown, "7 done,  1e-05 s\nx\ny\nattached processor-3 and more\n")
    assert shows(shown, "7 done, 12 s\nattached processor-3 \n")
    assert not shows(shown, "7 done, 12 s\nattached processor-4 \n")
    assert not shows(shown, "done, 12 s\nattached processor-3 \n")
