"""The base of every settings model. Models are frozen, and the string below a field is its help."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from raysearch.errors import did_you_mean


class Settings(BaseModel):
    """A settings model that refuses unknown keys and names those that it knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        """Refuses unknown keys. Pydantic would refuse them too, but would not say which keys there are."""
        if isinstance(given, dict):
            known = cls._keys(given)
            for key in given:
                if key not in known:
                    context = {"key": str(key), "known": ", ".join(known), "hint": did_you_mean(str(key), known)}
                    raise PydanticCustomError(
                        "unknown_key", "{key}: unknown key; expected one of {known}{hint}", context
                    )
        return given

    @classmethod
    def _keys(cls, given: dict[Any, Any]) -> list[str]:
        """The keys that a document of this model may hold."""
        return [field.alias or name for name, field in cls.model_fields.items()]
