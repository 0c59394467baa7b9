"""The one line that says what is wrong with a document: its key is the user's, whatever unions lie on the way."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from raysearch.errors import InputError
from raysearch.settings import Settings, meanings


class Sizes(Settings):
    train: int = 1
    small: int = 1


class Small(Settings):
    kind: Literal["small"] = "small"
    size: int
    """Needed."""
    small: int = 0
    """Called like its model's tag."""
    sizes: Sizes = Sizes()


class Large(Settings):
    kind: Literal["large"] = "large"
    parts: list[Small | Large] = []
    """May hold itself."""
    sizes: Sizes = Sizes()


Either = Annotated[Small | Large, Field(discriminator="kind")]


class Trained(Settings):
    train: dict[str, int] = {}
    """Called like its tag."""


class Ready(Settings):
    place: str


def tag(given: Any) -> str:
    return "ready" if isinstance(given, dict) and "place" in given else "train"


class Document(Settings):
    one: Either | None = None
    several: Either | list[Either] | None = None
    by_name: dict[str, Either] = {}
    teacher: Annotated[Annotated[Trained, Tag("train")] | Annotated[Ready, Tag("ready")], Discriminator(tag)] = (
        Trained()
    )
    bounds: tuple[int, float] | None = Field(None, alias="int")
    flag: bool | Literal["auto"] = "auto"
    choice: list[str | int | Sizes] = []
    word: int | Sizes = Field(0, alias="str")
    """Called like what pydantic calls a member of a union."""
    limits: Sizes | None = None

    @field_validator("choice")
    @classmethod
    def _few(cls, choice: list[Any]) -> list[Any]:
        if len(choice) > 3:
            raise ValueError("of four; expected at most three")
        return choice

    @model_validator(mode="after")
    def _alike(self) -> Document:
        if self.limits and self.limits.small > self.limits.train:
            raise ValueError(f"limits.small: {self.limits.small}; expected at most train = {self.limits.train}")
        return self


SMALL = {"kind": "small", "size": 1}


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"one": {"kind": "small"}}, "one.size: missing; expected a value"),
        ({"one": {**SMALL, "small": "x"}}, "one.small: 'x'; expected a valid integer, unable to parse string as an"),
        ({"one": {**SMALL, "sizes": {"small": []}}}, "one.sizes.small: list; expected a valid integer"),
        ({"one": {**SMALL, "smal": 1}}, "one.smal: unknown key; expected one of kind, size, small, sizes (did you"),
        ({"one": {"size": 1}}, "one.kind: missing; expected a value"),
        ({"one": {"kind": "tiny"}}, "one.kind: 'tiny'; expected one of 'small', 'large'"),
        ({"one": 3}, "one: 3; expected a mapping of keys to values"),
        ({"several": {**SMALL, "small": []}}, "several.small: list; expected a valid integer"),
        ({"several": [SMALL, {**SMALL, "size": []}]}, "several[1].size: list; expected a valid integer"),
        ({"several": [{"kind": "large", "parts": [{"size": []}]}]}, "several[0].parts[0].size: list; expected a valid"),
        (
            {"one": {"kind": "large", "parts": [{"kind": "large", "parts": [{"sizes": {"small": []}, "size": 1}]}]}},
            "one.parts[0].parts[0].sizes.small: list; expected a valid integer",
        ),
        ({"by_name": {"small": {**SMALL, "small": []}}}, "by_name.small.small: list; expected a valid integer"),
        ({"teacher": {"train": {"train": "x"}}}, "teacher.train.train: 'x'; expected a valid integer, unable to parse"),
        ({"teacher": {"place": []}}, "teacher.place: list; expected a valid string"),
        ({"int": [1, "x"]}, "int[1]: 'x'; expected a valid number, unable to parse string as a number"),
        ({"int": 4}, "int: 4; expected a list"),
        ({"flag": "maybe"}, "flag: 'maybe'; expected true, false or auto"),
        ({"str": {"small": "x"}}, "str.small: 'x'; expected a valid integer, unable to parse string as an integer"),
        ({"choice": ["a", {"small": "x"}]}, "choice[1].small: 'x'; expected a valid integer, unable to parse"),
        ({"choice": [1, 2, 3, 4]}, "choice: of four; expected at most three"),
        ({"limits": {"small": 2}}, "limits.small: 2; expected at most train = 1"),
        ({"ones": {}}, "ones: unknown key; expected one of one, several, by_name, teacher, int, flag, choice, str"),
        ([], "list; expected a mapping of keys to values"),
    ],
)
def test_fault_is_told_by_the_key_that_the_user_wrote(document: Any, line: str) -> None:
    with pytest.raises(InputError) as caught:
        Document.checked(document)
    assert str(caught.value).startswith(line)


def test_good_document_is_its_model() -> None:
    assert Document.checked({"one": SMALL}).one == Small(size=1)
    assert Document.checked_json('{"one": {"kind": "small", "size": 1}}').one == Small(size=1)


@pytest.mark.parametrize(
    ("text", "line"), [('{"one": ', "no JSON ("), ('{"one": {"kind": "small"}}', "one.size: missing")]
)
def test_bad_json_is_refused_in_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        Document.checked_json(text)
    assert str(caught.value).startswith(line)


class Nested(Large):
    depth: int = 1
    """How deep it is.

    In blocks.
    """
    plain: int = 1
    other: str = ""
    "A string in single quotes."


def test_meanings_are_the_strings_below_fields_also_of_the_models_inherited_from() -> None:
    assert meanings(Nested) == {
        "parts": "May hold itself.",
        "depth": "How deep it is.\n\nIn blocks.",
        "other": "A string in single quotes.",
    }
    described = Nested.model_json_schema()["properties"]
    assert described["depth"]["description"] == "How deep it is.\n\nIn blocks."
    assert "description" not in described["kind"]
