"""`[telemetry]` of `swarm.toml`: who is told of model calls."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class TelemetrySection(BaseModel):
    """Without `otlp_endpoint` nothing is sent anywhere. `headers_env` names the variable that holds what the collector wants
    to be shown; `content` adds prompts and answers to what it is told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$", max_length=500)] | None = None
    headers_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    service_name: Annotated[str, Field(min_length=1, max_length=100)] = "swarmworks"
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    content: bool = False

    @field_validator("otlp_endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and "@" in value.split("//", 1)[1].split("/", 1)[0]:
            raise ValueError("holds a user or password; name what the collector wants to be shown with headers_env")
        if value is not None and value.rstrip("/").endswith(("/v1/traces", "/v1/metrics")):
            raise ValueError("the path of a signal (/v1/traces, /v1/metrics) is added by itself: leave it out")
        return value

    @model_validator(mode="after")
    def _of_use(self) -> TelemetrySection:
        if self.otlp_endpoint is None and (self.content or self.headers_env):
            raise ValueError("content and headers_env are of no use without otlp_endpoint")
        return self
