"""The base of every settings model, and the one line that says what is wrong with a document of one.

A model is frozen, takes no unknown keys, and the string below a field is its help.
"""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from raysearch.errors import InputError, clipped, did_you_mean, quoted

if TYPE_CHECKING:
    from typing import Self

Location = Sequence[int | str]
"""Where pydantic found a fault: keys and places in lists, and names of members of unions."""

# Bounds lie far above every value that makes sense. What is beyond them is a slip of the keyboard, or an attack, and
# would take all memory or time before it failed.
Width = Annotated[int, Field(ge=1, le=65_536)]
"""Units of a layer: its width, its channels, its heads, the taps of its kernel."""
Depth = Annotated[int, Field(ge=1, le=1_000)]
"""Layers of a network."""
Layer = Annotated[int, Field(ge=-1_000, le=1_000)]
"""Number of a layer, counted from the first or, below 0, from the last."""
Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""A number of things that are each kept: trials, clusters, recordings."""
Updates = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A number of updates."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""Seed of random numbers. Some libraries take no more than 32 bits."""
Seconds = Annotated[float, Field(gt=0, le=86_400)]
"""A time in seconds, up to a day."""


class Settings(BaseModel):
    """A settings model that refuses unknown keys and names those that it knows. Its numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def checked(cls, document: object) -> Self:
        """The model of a document.

        Raises: InputError, `KEY: GOT; expected WHAT`, for the first thing that is wrong with it.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as err:
            raise InputError(first_fault(err, cls)) from err

    @classmethod
    def checked_json(cls, document: str | bytes) -> Self:
        """The model of a document in JSON.

        Raises: InputError as `checked` does, also if it is no JSON.
        """
        try:
            return cls.model_validate_json(document)
        except ValidationError as err:
            raise InputError(first_fault(err, cls)) from err

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The model's JSON schema, with the meaning of each field."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, meaning in meanings(cls).items():
            if name in cls.model_fields:
                properties[cls.model_fields[name].alias or name]["description"] = meaning
        return schema

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        """Refuses unknown keys. Pydantic would refuse them too, but would not say which keys there are."""
        if isinstance(given, dict):
            known = cls._keys(given)
            for key in given:
                if key not in known:
                    name = clipped(str(key))
                    context = {"key": name, "known": ", ".join(known), "hint": did_you_mean(name, known)}
                    raise PydanticCustomError(
                        "unknown_key", "{key}: unknown key; expected one of {known}{hint}", context
                    )
        return given

    @classmethod
    def _keys(cls, given: dict[Any, Any]) -> list[str]:
        """The keys that a document of this model may hold."""
        return [field.alias or name for name, field in cls.model_fields.items()]


class Outcome(Settings):
    """What comes of work, and is read from no document of a user. Its numbers need not be finite."""

    model_config = ConfigDict(allow_inf_nan=True)


def local_path(given: str | Path) -> Path:
    """A path that is made absolute at once, because workers run in other folders than the command.

    Raises: ValueError if no file can have such a path, or there is no such user's home.
    """
    path = Path(given)
    if "\0" in str(path) or len(str(path)) > 4_000 or any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise ValueError(f"{quoted(str(path))}; expected a path that a file can have")
    try:
        return path.expanduser().absolute()
    except RuntimeError as err:
        raise ValueError(f"{quoted(str(path))}; expected a user who has a home folder") from err


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of a model and of those that it inherits from, by the field's name.

    Pydantic can read them itself, but does so whenever a model is loaded, and that takes longer than all else of it.
    """
    found = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, BaseModel) or cls is BaseModel:
            continue
        try:
            source = inspect.getsource(cls)
        except (OSError, TypeError):  # a class that was typed into a notebook has no file
            continue
        (definition,) = ast.parse(dedent(source)).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in pairwise(definition.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    found[name] = inspect.cleandoc(text)
    return found


def first_fault(err: ValidationError, model: type[BaseModel]) -> str:
    """`KEY: GOT; expected WHAT` for the first thing that the model found wrong."""
    faults = err.errors(include_url=False)
    mine = [one for one in faults if one["loc"][:1] == faults[0]["loc"][:1]]
    # Of a union every member complains: the one that got deepest is the one that was meant.
    fault = max(mine, key=lambda one: len(one["loc"]) + (one["type"] == "unknown_key"))
    key = _dotted(fault["loc"], model)
    message, context = fault["msg"].removeprefix("Value error, "), fault.get("ctx", {})
    match fault["type"]:
        case "unknown_key":
            return f"{key}.{message}" if key else message
        case "json_invalid":
            return f"no JSON ({context['error']}); expected a whole document"
        case "missing":
            return f"{key}: missing; expected a value"
        case "value_error":
            # Our own validators name what lies below the key that pydantic names.
            if isinstance(inner := context["error"], ValidationError):
                message = first_fault(inner, model)
            got, expected, what = message.partition("; expected")
            return ": ".join(part for part in (key, f"{clipped(got)}{expected}{what}") if part)
        case "bool_parsing" | "bool_type":
            literals = [one for one in mine if one["type"] == "literal_error" and _dotted(one["loc"], model) == key]
            *words, last = ["true", "false", *(one["ctx"]["expected"].strip("'") for one in literals)]
            message = f"{', '.join(words)} or {last}"
        case "union_tag_not_found":
            return f"{key}.kind: missing; expected a value"
        case "union_tag_invalid":
            return f"{key}.kind: {quoted(context['tag'])}; expected one of {context['expected_tags']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            message = "a mapping of keys to values"
        case "tuple_type" | "list_type":
            message = "a list"
        case "string_pattern_mismatch":
            message = f"text of the pattern {context['pattern']}"
    got = fault.get("input")
    shown = type(got).__name__ if isinstance(got, dict | list) else quoted(got)
    # Pydantic says "Input should be ..." and "List should have ..."
    expected = message.partition(" should ")[2].removeprefix("be ").removeprefix("have ") or message
    return ": ".join(part for part in (key, f"{shown}; expected {expected}") if part)


def _dotted(location: Location, model: type[BaseModel]) -> str:
    """The key of a location, as a user writes it.

    Of a union pydantic names the member that it tried, too, which is no key: what is missing at `root` of a `corpus`
    that may be one of several models is missing at `corpus`, `an4`, `root`.
    """
    schema: Any = model.__pydantic_core_schema__
    found = _keys(location, schema, {one["ref"]: one for one in schema.get("definitions", ())})
    keys = location if found is None else found
    return "".join(f"[{key}]" if isinstance(key, int) else f".{clipped(key)}" for key in keys).removeprefix(".")


def _keys(location: Location, schema: Any, definitions: Mapping[str, Any]) -> list[int | str] | None:
    """What of a location is a key or a place in a list; None if the schema has no such location."""
    # Of a mapping pydantic names a wrong key, and then says that it means the key, not what stands under it.
    if not location or location == ("[key]",):
        return []
    here, rest = location[0], location[1:]
    while schema["type"] == "definition-ref" or "schema" in schema:
        # A model, a default value, a validator: they wrap what they hold, and are no part of a location.
        schema = schema.get("schema") or definitions[schema["schema_ref"]]
    kept, below = _step(here, schema)
    ways = (_keys(rest, one, definitions) for one in below)
    return next((kept + way for way in ways if way is not None), None)


def _step(here: int | str, schema: Any) -> tuple[list[int | str], list[Any]]:
    """The first part of a location, if it is a key, and the schemas that may hold the rest of it."""
    match schema["type"]:
        case "union":
            return [], [one[0] if isinstance(one, tuple) else one for one in schema["choices"]]
        case "tagged-union":
            return [], [one for tag, one in schema["choices"].items() if tag == here]
        case "model-fields":
            names = {field.get("validation_alias", name): field["schema"] for name, field in schema["fields"].items()}
            found = names.get(here) or schema.get("extras_schema")
            return [here], [found] if found else []
        case "dict":
            return [here], [schema["values_schema"]]
        case "list":
            return [here], [schema["items_schema"]]
        case "tuple":
            return [here], schema["items_schema"]
    return [here], []
