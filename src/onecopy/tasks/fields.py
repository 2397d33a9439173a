"""An object with fields of any type that can travel, to JSON and back (pydantic)."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypedDict, cast

from pydantic import ConfigDict, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema

CANNOT_TRAVEL: Final = (PydanticUserError, TypeError, NameError)
"""Raised by `Fields` for a type that JSON cannot hold."""
UNWRITABLE: Final = (PydanticSerializationError, RecursionError, UnicodeEncodeError)
"""Raised by `Fields.write` for values that JSON cannot hold."""

_CONFIG: Final = ConfigDict(
    extra="forbid", ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings"
)


class Fields:
    """What an object of these fields is in Python, in JSON, and in JSON Schema."""

    def __init__(self, hints: Mapping[str, object], optional: frozenset[str]) -> None:
        """Take types by name, and the names that may be left out. Raises one of CANNOT_TRAVEL."""
        # A typed dict, because its keys may have any name, as parameters may. Made at run time,
        # which type checkers do not follow.
        kind = cast(Any, TypedDict)("Arguments", dict(hints), total=False)
        kind.__required_keys__ = frozenset(hints) - optional
        kind.__optional_keys__ = optional
        kind.__pydantic_config__ = _CONFIG
        self._reads = TypeAdapter[dict[str, Any]](kind)
        # What writes takes its configuration from the outermost type, which cannot be a typed dict.
        outer: Any = tuple.__class_getitem__(kind)
        self._writes = TypeAdapter[tuple[dict[str, Any]]](outer, config=_CONFIG)
        self.schema("validation")
        self.schema("serialization")

    def check(self, values: Mapping[str, object]) -> dict[str, Any]:
        """Return values as their types want them. Raises pydantic.ValidationError."""
        return self._reads.validate_python(values)

    def read(self, text: str | bytes) -> dict[str, Any]:
        """Return the values of a JSON object. Raises pydantic.ValidationError."""
        return self._reads.validate_json(text)

    def write(self, values: dict[str, Any]) -> str:
        """Return checked values as a JSON object. Raises one of UNWRITABLE."""
        return self._writes.dump_json((values,), warnings="error")[1:-1].decode()

    def schema(self, mode: Literal["validation", "serialization"]) -> dict[str, Any]:
        """Return the JSON Schema of what is read, or of what is written."""
        return self._reads.json_schema(schema_generator=_Travelling, mode=mode)


class _Travelling(GenerateJsonSchema):
    """JSON Schema of what can travel; raises for the rest."""

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        return self.handle_invalid_for_json_schema(schema, "an iterator is used up when it is read")

    # Their own functions turn these into JSON and back: what that looks like nobody can know.

    def function_plain_schema(
        self, schema: core_schema.PlainValidatorFunctionSchema
    ) -> JsonSchemaValue:
        return {}

    def is_instance_schema(self, schema: core_schema.IsInstanceSchema) -> JsonSchemaValue:
        if "serialization" in schema:
            return {}
        return self.handle_invalid_for_json_schema(schema, "JSON cannot hold such an object")
