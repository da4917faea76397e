"""Secrets on the wire: a value goes in and never comes out. Version 1."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer

from swarmworks.wire.config_models import SECRET_NAME

MOST_VALUE = 16_384
SecretNamed = Annotated[str, Field(pattern=SECRET_NAME)]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SetSecret(Model):
    """`value` is shown by nothing but the request itself."""

    value: Annotated[SecretStr, Field(min_length=1, max_length=MOST_VALUE)]

    @field_serializer("value", when_used="json")
    def _sent(self, value: SecretStr) -> str:
        return value.get_secret_value()


class SecretRow(Model):
    """`opens`: whether the key it was sealed with is there, and it is what was sealed."""

    name: str
    set_by: str
    set_at: datetime
    key_id: str
    opens: bool


class Secrets(Model):
    """`keys`: where the keys lie that seal them."""

    secrets: tuple[SecretRow, ...]
    keys: str


class RotatedSecrets(Model):
    secrets: int
    key_id: str
    keys: str
