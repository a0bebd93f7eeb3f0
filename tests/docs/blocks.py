"""The fenced blocks of the docs: every one of them, and what it shows."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]

#: A line that is typed: ``$ lowtide status``, or ``leader$ ...`` on one of several.
_TYPED = re.compile(r"^\w*\$ +(?P<words>.*)$")
_NAME = re.compile(r"^# (?P<name>[\w/]+\.(py|toml))\b")
#: A number by itself: ``41``, ``0.5``; that of ``processor-3`` belongs to a name.
_NUMBER = re.compile(r"(?<![\w.-])\d+(\.\d+)?(e-\d+)?(?![\w-])")
_ANY_NUMBER = r"\d+(\.\d+)?(e-\d+)?"
#: Between the commands of one line.
_BETWEEN = frozenset("();|&")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        document: Its path from the project's root.
        line: Of its fence.
        language: As the fence says; empty if it says none.
        name: The file that its first line names: ``# billing.py``.
    """

    document: str
    line: int
    language: str
    text: str
    name: str = ""

    def __str__(self) -> str:
        """Where it stands."""
        return f"{self.document}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """What is typed in a console block, and what is shown to come of it."""

    line: str
    output: tuple[str, ...] = ()

    @property
    def parts(self) -> list[list[str]]:
        """The words of each command on the line, without the shell's own."""
        lexer = shlex.shlex(self.line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        parts: list[list[str]] = [[]]
        for word in lexer:
            if set(word) <= _BETWEEN:
                parts.append([])
            else:
                parts[-1].append(word)
        return [words for words in parts if words]


@dataclass(slots=True)
class Taken:
    """Which blocks a test runs: those that none takes are found by it."""

    blocks: set[Block] = field(default_factory=set)

    def __call__(self, document: str, language: str, beginning: str) -> Block:
        """Take the one block of a document that begins so."""
        found = self.all_of(language, beginning, document)
        assert len(found) == 1, f"{document} has {len(found)} that begin {beginning!r}"
        return found[0]

    def all_of(self, language: str, beginning: str, document: str = "") -> list[Block]:
        """Take every block that begins so, of one document or of all."""
        found = [
            each
            for each in blocks()
            if each.language == language
            and each.text.startswith(beginning)
            and document in ("", each.document)
        ]
        assert found, f"no document has a block of {language} that begins {beginning!r}"
        self.blocks.update(found)
        return found


def documents() -> list[Path]:
    """Every Markdown file of the project."""
    return [
        path
        for path in sorted(ROOT.rglob("*.md"))
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]


@cache
def blocks() -> tuple[Block, ...]:
    """Every block that is shown as code, in all documents."""
    found = []
    for path in documents():
        for token in MarkdownIt().parse(path.read_text()):
            if token.type in ("fence", "code_block"):
                assert token.map is not None
                document, line = str(path.relative_to(ROOT)), token.map[0] + 1
                name = _NAME.match(token.content)
                block = Block(
                    document,
                    line,
                    token.info.strip(),
                    token.content,
                    name["name"] if name else "",
                )
                found.append(block)
    return tuple(found)


def inline_code() -> list[tuple[str, str]]:
    """Every piece of code within a text, and its document."""
    found = []
    for path in documents():
        for token in MarkdownIt("commonmark").enable("table").parse(path.read_text()):
            found += [
                (str(path.relative_to(ROOT)), child.content)
                for child in token.children or ()
                if child.type == "code_inline"
            ]
    return found


def links() -> list[tuple[Path, str]]:
    """Every link and picture, and the document that has it."""
    found = []
    for path in documents():
        for token in MarkdownIt("commonmark").enable("table").parse(path.read_text()):
            for child in token.children or ():
                target = child.attrs.get("href") or child.attrs.get("src")
                if target:
                    found.append((path, str(target)))
    return found


def anchors(document: Path) -> set[str]:
    """What a link may name in a document: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ +(.+)$", document.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings
    }


def commands(block: Block) -> list[Command]:
    """What is typed in a console block; a block that begins otherwise has none."""
    found: list[Command] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        typed = _TYPED.match(line)
        if typed is not None:
            found.append(Command(typed["words"]))
        else:
            assert found, f"{block}: expected a line that begins with $, got {line!r}"
            last = found[-1]
            found[-1] = Command(last.line, (*last.output, line))
    return found


def shows(shown: tuple[str, ...] | list[str], output: str) -> bool:
    """Whether an output is what is shown, but for its numbers.

    ``...`` stands for any lines, or for the rest of one.
    """
    patterns = []
    for line in shown:
        if line == "...":
            patterns.append(r"(.*\n)*?")
            continue
        pieces = line.removesuffix("...").split()
        pattern = r"\s+".join(map(_pattern_of, pieces))
        patterns.append(pattern + (".*" if line.endswith("...") else "") + r" *\n")
    return re.fullmatch("".join(patterns), output) is not None


def _pattern_of(text: str) -> str:
    plain = (re.escape(each) for each in _NUMBER.sub("\0", text).split("\0"))
    return _ANY_NUMBER.join(plain)
