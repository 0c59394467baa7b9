"""The base of every settings model: frozen, no unknown keys, and the string below a field is its help."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from raysearch.errors import did_you_mean


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        """Pydantic refuses unknown keys as well, but does not say which ones there are."""
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
        """What a document of this model may hold."""
        return [field.alias or name for name, field in cls.model_fields.items()]
