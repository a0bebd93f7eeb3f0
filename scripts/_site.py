"""The pages of the site that are made from code, and the links that lead to them.

mkdocs calls the functions whose names begin with ``on_``.
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

#: Where what stands outside of docs/ is in the site.
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "lowtide.example.toml": "settings.md",
    "docs/recipes": "recipes.md",
}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_IMAGE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    pages = {
        **{to: text(ROOT / name) for name, to in ELSEWHERE.items() if ".md" in name},
        "recipes.md": recipes(),
        "verbs.md": verbs(),
        "events.md": events(),
        "status.md": status(),
        "python.md": PYTHON,
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Have each link lead to where its target is in the site."""
    generated = page.file.src_uri in ELSEWHERE.values()
    place = ROOT if generated else (ROOT / "docs" / page.file.src_uri).parent

    def link(found: re.Match[str]) -> str:
        target = in_site(found["target"], place)
        return f"[{found['text']}]({target})" if target else found["text"]

    def image(found: re.Match[str]) -> str:
        return f"![{found['text']}]({in_site(found['target'], place)})"

    return _IMAGE.sub(image, _LINK.sub(link, markdown))


def in_site(target: str, place: Path) -> str | None:
    """Where a target is in the site; None where it is no part of it."""
    path, hash_, anchor = target.partition("#")
    if not path or re.match(r"\w+:", target):
        return target
    name = str((place / path).resolve().relative_to(ROOT))
    if name in ELSEWHERE:
        return ELSEWHERE[name] + hash_ + anchor
    if not name.startswith("docs/") or (ROOT / name).is_dir():
        return None
    return name.removeprefix("docs/") + hash_ + anchor


def text(path: Path) -> str:
    """What is in a file."""
    return path.read_text(encoding="utf-8")


def recipes() -> str:
    """Each recipe as it stands, in a block of its own."""
    head = (
        "# Recipes\n\nConfigurations for APIs as they are found, in `docs/recipes/`. "
        "Each is tested against answers as that API gives them (`tests/recipes/`).\n"
    )
    files = sorted((ROOT / "docs" / "recipes").glob("*.toml"))
    parts = [f"## {path.stem}\n\n```toml\n{text(path)}```\n" for path in files]
    return "\n".join((head, *parts))


def verbs() -> str:
    """The help of each verb, and the exit codes."""
    from actors.main import parse  # noqa: PLC0415 - where it is found, see above

    def help_of(*words: str) -> str:
        said = io.StringIO()
        try:
            with redirect_stdout(said):
                parse([*words, "--help"])
        except SystemExit:
            pass
        return said.getvalue()

    shown = help_of()
    names = re.findall(r"^    ([a-z-]+) ", shown, re.MULTILINE)
    parts = ["# Verbs and exit codes\n", f"```text\n{shown}```\n"]
    parts += [f"## {name}\n\n```text\n{help_of(name)}```\n" for name in names]
    running = text(ROOT / "docs" / "running.md")
    codes = running[running.index("## Exit codes") :].partition("\n## ")[0]
    return "\n".join((*parts, codes))


def events() -> str:
    """Every line that the log may have: its event, level and values."""
    lines: dict[str, tuple[set[str], set[str]]] = {}
    for event, level, values in _calls():
        levels, all_values = lines.setdefault(event, (set(), set()))
        levels.add(level)
        all_values.update(values)
    head = (
        "# Events in the log\n\nOne JSON object a line, or its like for people on a "
        "terminal. Each has `event`, `level`, `timestamp` and `pid`; stages add their "
        "name (`fetcher` or `processor`). As they stand in the code:\n\n"
        "| event | level | values |\n|---|---|---|\n"
    )
    rows = (
        f"| `{event}` | {', '.join(sorted(levels))} | "
        f"{', '.join(f'`{each}`' for each in sorted(values))} |\n"
        for event, (levels, values) in sorted(lines.items())
    )
    return head + "".join(rows)


LEVELS = ("debug", "info", "warning", "error", "critical")


def _calls() -> Iterator[tuple[str, str, list[str]]]:
    for path in sorted((ROOT / "actors").rglob("*.py")):
        if "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(text(path))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=level),
                    args=[ast.Constant(value=str(event)), *_],
                    keywords=keywords,
                ) if level in LEVELS and re.fullmatch(r"[a-z_]+\.[a-z_]+", event):
                    values = [each.arg for each in keywords if each.arg is not None]
                    yield event, level, values


def status() -> str:
    """The schema of what ``status --json`` answers, by its objects."""
    schema = json.loads(text(ROOT / "docs" / "schemas" / "status.schema.json"))
    head = (
        "# `status --json`\n\nOne object; its "
        "[JSON schema](schemas/status.schema.json) "
        "is what tests hold every answer against.\n"
    )
    parts = [head]
    objects = {"The answer": schema, **schema.get("$defs", {})}
    for name, each in objects.items():
        rows = each.get("properties", {})
        if not rows:
            continue
        needed = each.get("required", ())
        parts.append(f"## {name}\n\n| key | type | |\n|---|---|---|")
        parts += [
            f"| `{key}`{'' if key in needed else ' (may be missing)'} | "
            f"{_type(value)} | {value.get('description', '')} |"
            for key, value in rows.items()
        ]
        parts.append("")
    return "\n".join(parts)


def _type(value: Any) -> str:
    if "anyOf" in value:
        return " or ".join(map(_type, value["anyOf"]))
    if "$ref" in value:
        return f"`{value['$ref'].rpartition('/')[2]}`"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    kind = value.get("type", "any")
    kind = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"array of {_type(value['items'])}" if "items" in value else kind


PYTHON = """\
# Python

What a program may import. All else may change with any version.

::: actors.pipeline.Pipeline
::: actors.pipeline.Fetcher
::: actors.pipeline.Processor
::: actors.commands.exit_codes.Exit
::: actors.config.errors.ConfigError
::: actors.commands.start_error.StartError

# Testing

::: actors.testing.harness.Harness
    options: {filters: ["!^_"], members_order: source}
"""
