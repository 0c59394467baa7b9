"""Writes the two pages of docs/reference/ from the code, every setting and every verb, and the schemas for editors.

    python docs/write_reference.py

Settings come from the JSON schemas of the settings models, whose descriptions are the strings below their fields.
Verbs come from the command line itself. Nothing on these pages is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter
from typer.main import get_command

from raysearch.cli import app
from raysearch.corpora.settings import CorpusSettings
from raysearch.encoder.config import Blocks, ConvConfig, EncoderConfig, FrontEnd
from raysearch.methods.table import METHODS, load_method
from raysearch.spec.document import Spec
from raysearch.spec.schema import encoder_schema, spec_schema
from raysearch.spec.space import SHARED_GROUPS, Distribution
from raysearch.tasks.settings import TaskSettings
from raysearch.teachers.settings import ReadyTeacher, TrainedTeacher

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/write_reference.py from the code. A change made here by hand does not stay. -->\n"
UNITS = {"_s": "s", "_ms": "ms", "_db": "dB", "_g": "GMAC", "_m": "million"}
"""What the end of a key says of its unit."""
WORDS = {"share": "share", "shares": "share", "seconds": "s", "milliseconds": "ms", "decibels": "dB"}
WORDS |= {word: word for word in ("updates", "frames", "radians")}
"""What the first word of a meaning, or a word after `in`, says of its unit."""


INTRODUCTION = """\
A setting is named by its dotted key: `search.trials` is the key `trials` in the group `search`. `--set search.trials=4`
on the command line changes it. `needed` means that there is no default. An empty default means that the setting is off
or follows from others. A share is a number from 0 to 1. A document is checked before anything runs. Editors with a
YAML language server check it while it is written, and complete its keys, if it begins with the line
`# yaml-language-server: $schema=schema.json` and `raysearch schema > schema.json` wrote that file beside it.
"""
SPACE = """\
Under `space:`, each key is the dotted key of a setting of a method, and its value says what a search tries:
`student.depth: {int: [1, 6]}`. A setting that is not in the space has its default, or the fixed value that the document
gives it under its group: `student: {depth: 3}`.
"""
GROUPS = """\
The settings of a method lie in groups. An x marks the groups that a method has. Methods may differ in a default: then a
key has several rows, and the column `methods` says which row is whose.
"""
ENCODERS = """\
An encoder document describes an encoder. `raysearch cost` reads one, and every checkpoint holds one as `config.json`.
"""
VERBS = """\
A verb is the word after `raysearch`. `raysearch VERB --help` prints what stands here. The exit code is 0 when the work
is done, 1 when it failed, and 2 when the input is wrong: then one line on stderr says where and why. It is 130 after
Ctrl-C and 143 after SIGTERM.
"""


@dataclass(frozen=True)
class Setting:
    """One row of a table of settings."""

    key: str
    """Dotted, as search spaces and `--set` name it; `[]` stands for each member of a list."""
    kind: str
    unit: str
    default: str
    meaning: str

    def cells(self) -> list[str]:
        return [f"`{self.key}`", self.kind, self.unit, self.default, self.meaning]


def rows(model: Any, prefix: str = "", given: Mapping[str, Any] | None = None) -> list[Setting]:
    """Every setting of a model, those of the models within it too; `given` are defaults in place of its own."""
    schema = TypeAdapter(model).json_schema()
    return list(_rows(schema, schema.get("$defs", {}), prefix, given or {}))


def _rows(
    schema: Mapping[str, Any], models: Mapping[str, Any], prefix: str, given: Mapping[str, Any]
) -> Iterator[Setting]:
    for name, field in schema["properties"].items():
        if "const" in field:  # it only tells which table holds, as the table's heading does
            continue
        default = given.get(name, field.get("default"))
        needed = name in schema.get("required", ()) and name not in given
        inner, below = _model(field, models)
        if inner is None or below == "[]." or (default is None and not needed):
            yield _setting(prefix + name, field, "needed" if needed else _value(default))
        if inner is not None:
            yield from _rows(inner, models, prefix + name + below, {} if below == "[]." else default or {})


def _model(field: Mapping[str, Any], models: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The one model that a field holds, or holds a list of, and what stands between their keys.

    Returns None where the field holds a value, or one of several models.
    """
    options = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    one = options[0] if len(options) == 1 else {}
    name, below = (one["$ref"], ".") if "$ref" in one else (one.get("items", {}).get("$ref"), "[].")
    return (models[name.rpartition("/")[2]] if name else None), below


def _setting(key: str, field: Mapping[str, Any], default: str) -> Setting:
    meaning = " ".join(field.get("description", "").split())
    return Setting(key, _kind(field), _unit(key, meaning), default, meaning)


def _kind(field: Mapping[str, Any]) -> str:
    """What a field takes, in words."""
    if options := field.get("anyOf") or field.get("oneOf"):
        kinds = dict.fromkeys(_kind(option) for option in options if option.get("type") != "null")
        return " or ".join(kinds)
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    match field.get("type"):
        case "integer" | "number" as number:
            return " ".join(filter(None, ("whole number" if number == "integer" else "number", _bounds(field))))
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "path" if field.get("format") == "path" else "text"
        case "array" if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])}: {', '.join(map(_kind, field['prefixItems']))}"
        case "array":
            return f"list of {_kind(field['items'])}"
    return "mapping"


def _bounds(field: Mapping[str, Any]) -> str:
    whole = field["type"] == "integer"
    bounds = []
    if "exclusiveMinimum" in field:
        low = field["exclusiveMinimum"]
        bounds.append(f"≥ {low + 1}" if whole else f"> {low}")
    if "minimum" in field:
        bounds.append(f"≥ {field['minimum']}")
    if "exclusiveMaximum" in field:
        bounds.append(f"< {field['exclusiveMaximum']}")
    if "maximum" in field:
        bounds.append(f"≤ {field['maximum']}")
    if "multipleOf" in field:
        bounds.append(f"multiple of {field['multipleOf']}")
    return ", ".join(bounds)


def _unit(key: str, meaning: str) -> str:
    for end, unit in UNITS.items():
        if key.endswith(end):
            return unit
    words = [*re.findall(r"^(\w+)", meaning), *re.findall(r"\bin (\w+)", meaning)]
    return next((WORDS[word.lower()] for word in words if word.lower() in WORDS), "")


def _value(value: Any) -> str:
    """A default as YAML would write it; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"`{value:.4g}`" if value != round(value) else f"`{value:.1f}`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def table(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table and a blank line after it."""
    names = list(head)
    lines = [names, ["---"] * len(names), *body]
    return [*(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines), ""]


def _cell(text: str) -> str:
    """Text that neither ends its cell nor looks like HTML; within backquotes `<` is itself."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def settings_table(settings: Iterable[Setting]) -> list[str]:
    return table(("key", "takes", "unit", "default", "meaning"), (one.cells() for one in settings))


def settings_page() -> str:
    """Every key of a search document, and of an encoder document."""
    groups = method_groups()
    own = [one for one in rows(Spec) if one.key.partition(".")[0] not in {*groups, "space"}]
    lines = [
        *(NOTE, "# Settings", "", INTRODUCTION, "## The search document", ""),
        *settings_table(own),
        *("## A line of the space", "", SPACE, *settings_table(rows(Distribution))),
        *("## Corpora", "", "These are the keys of `corpus:`. Its `kind` says which table holds.", ""),
        *_alternatives({_name(model): model for model in _members(CorpusSettings)}, "corpus"),
        *("## Teachers", "", "These are the keys of `teacher:`. Its `source` says which table holds.", ""),
        *_alternatives({"source: train": TrainedTeacher, "source: one that exists": ReadyTeacher}, "teacher"),
        *("## Tasks", "", "These are the keys of `task:`. Its `kind` says which table holds.", ""),
        *_alternatives({_name(model): model for model in _members(TaskSettings)}, "task"),
        *("## Methods", "", GROUPS, *_methods(groups)),
        *("## Encoder documents", "", ENCODERS, "### With a transformer", "", *settings_table(rows(EncoderConfig))),
        *_alternatives({_name(model): model for model in _members(FrontEnd)}, "front_end"),
        *("### `blocks`", "", *settings_table(rows(Blocks, "blocks."))),
        *("### Without a transformer: `kind: conv`", "", *settings_table(rows(ConvConfig))),
    ]
    return "\n".join(lines)


def _members(union: Any) -> tuple[Any, ...]:
    """The models of an annotated union."""
    return get_args(get_args(union)[0])


def _name(model: Any) -> str:
    return f"kind: {model.model_fields['kind'].default}"


def _alternatives(models: Mapping[str, Any], key: str) -> Iterator[str]:
    """A table for each model. What most of three or more have alike comes first, and once."""
    found = {
        name: [one for one in rows(model, f"{key}.") if one.key != f"{key}.kind"] for name, model in models.items()
    }
    shared = [one for one in _every(found) if sum(one in settings for settings in found.values()) > len(found) / 2 > 1]
    if shared:
        without = [name for name, settings in found.items() if shared[0] not in settings]
        but = f" but {' and '.join(f'`{name}`' for name in without)}" if without else ""
        yield from (f"### Every `{key}`{but}", "", *settings_table(shared))
    for name, settings in found.items():
        own = [one for one in settings if one not in shared]
        yield from (f"### `{name}`", "", " ".join((models[name].__doc__ or "").split()), "")
        yield from settings_table(own) if own else ()


def _every(found: Mapping[str, list[Setting]]) -> list[Setting]:
    return list(dict.fromkeys(one for settings in found.values() for one in settings))


def method_groups() -> dict[str, dict[str, list[Setting]]]:
    """Group -> method -> its settings of that group."""
    groups: dict[str, dict[str, list[Setting]]] = {}
    for method in METHODS:
        for one in rows(load_method(method).Settings):
            groups.setdefault(one.key.partition(".")[0], {}).setdefault(method, []).append(one)
    for group, model in SHARED_GROUPS.items():
        groups[group] = {method: rows(model, f"{group}.") for method in METHODS}
    return groups


def _methods(groups: Mapping[str, Mapping[str, list[Setting]]]) -> Iterator[str]:
    marks = [[f"`{method}`", *("x" if method in found else "" for found in groups.values())] for method in METHODS]
    yield from table(["method", *(f"`{group}`" for group in groups)], marks)
    for group, found in groups.items():
        settings = sorted(_every(found), key=lambda one: _order(found, one))
        body = []
        for one in settings:
            having = [method for method, of_it in found.items() if one in of_it]
            body.append([*one.cells(), "all" if len(having) == len(found) else ", ".join(having)])
        yield from (f"### `{group}`", "", f"Known to {', '.join(f'`{method}`' for method in found)}.", "")
        yield from table(("key", "takes", "unit", "default", "meaning", "methods"), body)


def _order(found: Mapping[str, list[Setting]], setting: Setting) -> int:
    """Where the setting's key first comes among those of its group: rows of one key stand together."""
    keys = list(dict.fromkeys(one.key for one in _every(found)))
    return keys.index(setting.key)


def verbs() -> Iterator[tuple[str, Any]]:
    """Every verb of the command line with its words, those of a family too."""
    for name, verb in get_command(app).commands.items():  # type: ignore[attr-defined]
        members = getattr(verb, "commands", None)
        yield from ((f"{name} {word}", member) for word, member in members.items()) if members else ((name, verb),)


def verbs_page() -> str:
    lines = [NOTE, "# Verbs", "", VERBS]
    for words, verb in verbs():
        context = verb.context_class(verb, info_name=f"raysearch {words}")
        usage = " ".join(verb.get_usage(context).split()).removeprefix("Usage: ")
        lines += [f"## {words}", "", verb.help, "", f"Usage: `{usage}`", ""]
        records = filter(None, (one.get_help_record(context) for one in verb.params))
        lines += table(("takes", "default", "meaning"), (_option(*record) for record in records))
    return "\n".join(lines)


def _option(name: str, text: str) -> tuple[str, str, str]:
    """An option, its default, and its meaning with the bounds behind it."""
    meaning, _, notes = text.partition("[") if text.endswith("]") else (text, "", "")
    default, rest = "", []
    for note in filter(None, notes.rstrip("]").split("; ")):
        if note.startswith("default: "):
            default = f"`{note.removeprefix('default: ')}`"
        elif note == "required":
            default = "needed"
        else:
            rest.append(note)
    return (
        f"`{name.replace(' range>', '>')}`",
        default,
        " ".join(filter(None, (meaning.strip(), f"({', '.join(rest)})" if rest else ""))),
    )


PAGES = {"settings.md": settings_page, "verbs.md": verbs_page}
SCHEMAS = {"search_spaces/schema.json": spec_schema, "encoders/schema.json": encoder_schema}
"""They lie beside the documents that name them in their first line."""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    for name, schema in SCHEMAS.items():
        (FOLDER.parents[1] / name).write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
