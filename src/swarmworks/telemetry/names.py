"""Every name that leaves the platform with a model call: attributes, metrics, labels.

`gen_ai.*` and `error.type` are OpenTelemetry's conventions for generative AI; there is no convention for cost, so that and
what concerns a swarm is ours. Dashboards and alerts hang on these names: they are added to, never changed.
"""

from __future__ import annotations

SCOPE = "swarmworks.gateway"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"  # cached ones included
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_write.input_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - of a language model's tokens
ERROR_TYPE = "error.type"
STATUS = "http.response.status_code"

ACCOUNT = "swarm.provider.name"  # as the provider is called in swarm.toml
OUTCOME = "swarm.outcome"
COST = "swarm.cost.nano_usd"
RESERVED = "swarm.reserved.nano_usd"
ESTIMATED = "swarm.cost.estimated"
FIRST_BYTE = "swarm.time_to_first_byte_s"
SESSION = "swarm.session.id"
TASK = "swarm.task.id"
SWARM = "swarm.swarm.id"

DURATION_METRIC = "gen_ai.client.operation.duration"
TOKENS_METRIC = "gen_ai.client.token.usage"
FIRST_BYTE_METRIC = "swarm.gateway.time_to_first_byte"
CALLS_METRIC = "swarm.gateway.calls"
CACHED_TOKENS_METRIC = "swarm.gateway.cached_tokens"
COST_METRIC = "swarm.gateway.cost"

CALLS_TOTAL = "llm_calls_total"
TOKENS_TOTAL = "llm_tokens_total"
CACHED_TOKENS_TOTAL = "llm_cached_tokens_total"
COST_DOLLARS = "llm_cost_dollars"
DURATION_SECONDS = "llm_call_duration_seconds"
FIRST_BYTE_SECONDS = "llm_time_to_first_byte_seconds"
UNTOLD_TOTAL = "telemetry_untold_calls_total"

DURATION_BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BOUNDS = tuple(4**power for power in range(14))
"""The bounds that the conventions give for durations and for tokens."""
