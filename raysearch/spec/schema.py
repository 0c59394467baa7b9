"""The JSON schemas of search and encoder documents, by which editors complete and check them.

Pydantic writes most of them. What it cannot know is added here: that a `kind` must be said, which methods there are,
and which of their settings the groups and the space may hold.

The loader knows more: settings of a method that the document does not name, values that do not suit each other, and
values that a method does not take although another one does are for it alone. It also reads a number in quotes, which
the schema marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from raysearch.encoder.config import AnyConfig
from raysearch.methods.table import METHODS, load_method
from raysearch.spec.document import COST_OBJECTIVES, ERROR_OBJECTIVES, Spec
from raysearch.spec.space import SHARED_GROUPS, Distribution, block_keys, setting_keys

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
ELSEWHERE: Schema = {"type": "string", "pattern": ":"}
"""Name of a method that is not in the table, `MODULE:CLASS`."""
NAME: Schema = {"anyOf": [{"enum": list(METHODS)}, ELSEWHERE]}


def spec_schema() -> Schema:
    """The schema of search documents."""
    settings = {method: load_method(method).Settings for method in METHODS}
    models: list[type[BaseModel]] = [Spec, Distribution, *SHARED_GROUPS.values(), *dict.fromkeys(settings.values())]
    places, found = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Schema] = found["$defs"]
    by_method = [_target(places[settings[method], "validation"], definitions) for method in METHODS]
    groups = _groups(by_method, definitions)
    for group, model in SHARED_GROUPS.items():
        groups[group] = _target(places[model, "validation"], definitions)["properties"]
    spec = definitions.pop("Spec")
    for group, keys in groups.items():
        spec["properties"][group] |= {"properties": keys, "additionalProperties": True}
    meanings = {key: text for group, keys in groups.items() for key, text in _meanings(group, keys, definitions)}
    _tighten(spec, definitions, meanings)
    return _finished("search document", spec | {"$defs": definitions})


def encoder_schema() -> Schema:
    """The schema of encoder documents."""
    schema = TypeAdapter(AnyConfig).json_schema()
    schema["$defs"]["ConvConfig"]["required"] = ["kind"]
    return _finished("encoder document", schema)


def _groups(by_method: list[Schema], definitions: dict[str, Schema]) -> dict[str, dict[str, Schema]]:
    """Group -> key -> schema of that setting, over all methods."""
    found: dict[str, dict[str, list[Schema]]] = {}
    for method in by_method:
        for group, place in method["properties"].items():
            for key, field in _target(place, definitions)["properties"].items():
                # Methods may differ in a default.
                kind = {word: value for word, value in field.items() if word not in ("default", "title")}
                kinds = found.setdefault(group, {}).setdefault(key, [])
                if kind not in kinds:
                    kinds.append(kind)
    return {group: {key: _either(kinds) for key, kinds in keys.items()} for group, keys in found.items()}


def _meanings(prefix: str, keys: Mapping[str, Schema], definitions: dict[str, Schema]) -> Iterator[tuple[str, str]]:
    """Each dotted key below a group, and what it means. A setting may hold a group of its own."""
    for key, field in keys.items():
        yield f"{prefix}.{key}", field["description"]
        if "$ref" in field:
            yield from _meanings(f"{prefix}.{key}", _target(field, definitions)["properties"], definitions)


def _either(kinds: list[Schema]) -> Schema:
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds, "description": kinds[0]["description"]}


def _target(place: Schema, definitions: dict[str, Schema]) -> Schema:
    return definitions[place["$ref"].rpartition("/")[2]]


def _tighten(spec: Schema, definitions: dict[str, Schema], meanings: dict[str, str]) -> None:
    """Puts in what validators check, and the names of methods and of their settings."""
    keys = list(dict.fromkeys(key for method in METHODS for key in setting_keys(method)))
    fields = spec["properties"]
    fields["method"]["anyOf"][0] = NAME
    definitions["MethodChoice"]["properties"]["choice"]["items"] = NAME
    fields["space"]["properties"] = {
        key: {"$ref": "#/$defs/Distribution", **({"description": meanings[key]} if key in meanings else {})}
        for key in keys
    }
    of_blocks = "|".join(key.replace(".", r"\.") for method in METHODS for key in block_keys(method))
    each_block = rf"^({of_blocks})\.[1-9][0-9]{{0,3}}$"
    fields["space"]["patternProperties"] = {each_block: {"$ref": "#/$defs/Distribution"}}
    fields["objectives"] |= {
        "items": {"enum": [*COST_OBJECTIVES, *ERROR_OBJECTIVES]},
        "minItems": 2,
        "maxItems": 3,
        "uniqueItems": True,
        "allOf": [{"contains": {"enum": list(known)}} for known in (COST_OBJECTIVES, ERROR_OBJECTIVES)],
    }
    fields["task"]["anyOf"][1]["minItems"] = 1
    definitions["ReadyTeacher"]["properties"]["source"]["not"] = {"const": "train"}
    definitions["Distribution"] |= {
        "oneOf": [{"required": [kind], "properties": {kind: {"type": "array"}}} for kind in ("int", "float", "choice")],
        "dependentSchemas": {"step": {"required": ["int"], "properties": {"log": {"const": False}}}},
    }
    search = definitions["SearchSettings"]["properties"]
    search["rungs"] |= {"items": {"type": "number", "minimum": 0, "maximum": 1}, "minItems": 1}
    search["updates_of"]["propertyNames"] = NAME
    # A method from elsewhere may bring settings and groups that nobody here knows.
    del spec["additionalProperties"]
    foreign = [ELSEWHERE, {"type": "object", "properties": {"choice": {"contains": ELSEWHERE}}}]
    own = {group: {"propertyNames": {"enum": list(one["properties"])}} for group, one in fields.items() if _open(one)}
    own["space"] = {"propertyNames": {"anyOf": [own["space"]["propertyNames"], {"pattern": each_block}]}}
    spec["if"] = {"properties": {"method": {"anyOf": foreign}}}
    spec["else"] = {"propertyNames": {"enum": list(fields)}, "properties": own}


def _open(field: Schema) -> bool:
    """Whether a field is a group or the space, whose keys methods decide about."""
    return field.get("type") == "object" and "properties" in field


def _finished(title: str, schema: Schema) -> Schema:
    """The schema, in which a union that tells its members apart by a key asks for that key, and says what it means."""
    used: set[str] = set()
    wanted = _named(schema | {"$defs": {}})
    while wanted:
        used |= wanted
        wanted = {name for one in wanted for name in _named(schema["$defs"][one])} - used
    schema["$defs"] = {name: one for name, one in schema["$defs"].items() if name in used}
    for node in _nodes(schema):
        if isinstance(node.get("title"), str):
            del node["title"]
        if isinstance(union := node.get("discriminator"), dict):
            node["required"] = [union["propertyName"]]
        for field in node.get("properties", {}).values():
            if isinstance(field, dict) and "const" in field and "description" in node:
                field.setdefault("description", node["description"])
    return {"$schema": DRAFT, "title": f"raysearch: {title}", **schema}


def _named(schema: Schema) -> set[str]:
    """Names of the definitions that a schema refers to."""
    places = [node["$ref"] for node in _nodes(schema) if isinstance(node.get("$ref"), str)]
    return {place.rpartition("/")[2] for place in places}


def _nodes(node: Any) -> Iterator[Schema]:
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for below in node.values() if isinstance(node, dict) else node:
            yield from _nodes(below)
