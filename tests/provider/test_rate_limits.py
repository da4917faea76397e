import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.domain.provider import Outage
from swarmworks.provider.rate_limits import Refusal, Told, failed_stream, refusal, retry_after_s, told

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def test_what_anthropic_says_is_left():
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-01-01T12:00:02Z",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-01-01T13:00:30+01:00",
        "anthropic-ratelimit-output-tokens-remaining": "7",
        "anthropic-ratelimit-output-tokens-reset": "2026-01-01T11:59:00Z",
    }
    assert told("anthropic", headers, lambda: NOW) == (
        Told("requests", 50, 49, 2.0),
        Told("input tokens", 30_000, 0, 30.0),
        Told("output tokens", None, 7, 0.0),
    )


def test_what_openai_says_is_left():
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "6m1.5s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "12ms",
    }
    assert told("openai", headers, lambda: NOW) == (
        Told("requests", 60, 0, 361.5),
        Told("tokens", 150_000, 149_984, 0.012),
    )
    assert told("google", headers, lambda: NOW) == ()


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"retry-after": "7"}, b"", 7.0),
        ({"retry-after": "0.5"}, b"", 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, b"", 0.25),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:20 GMT"}, b"", 20.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, b"", 0.0),
        ({"retry-after": "soon"}, b"", None),
        ({"retry-after": "-3"}, b"", None),
        ({"retry-after": "inf"}, b"", None),
        ({}, b'{"error": {"details": [{"@type": "t/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}}', 34.5),
        ({}, b'[{"error": {"details": [{"@type": "t/google.rpc.RetryInfo", "retryDelay": "2s"}]}}]', 2.0),
        ({}, b'{"error": {"details": [{"@type": "t/google.rpc.RetryInfo", "retryDelay": 3}]}}', None),
        ({}, b"RetryInfo", None),
    ],
)
def test_when_to_come_back(headers, body, expected):
    assert retry_after_s(headers, body, NOW) == expected


def error(**fields):
    return json.dumps({"error": fields}).encode()


NO_CREDIT = Refusal(Outage.NO_CREDIT, unbilled=True)
KEY_REFUSED = Refusal(Outage.KEY_REFUSED, unbilled=True)


@pytest.mark.parametrize(
    ("kind", "status", "headers", "body", "expected"),
    [
        ("openai", 429, {}, b"", Refusal(Outage.RATE_LIMITED, unbilled=True)),
        ("openai", 429, {}, error(code="rate_limit_exceeded"), Refusal(Outage.RATE_LIMITED, unbilled=True)),
        ("openai", 429, {}, error(code="insufficient_quota"), NO_CREDIT),
        ("openai", 402, {}, b"", NO_CREDIT),
        ("anthropic", 400, {}, error(message="Your credit balance is too low to"), NO_CREDIT),
        ("openai", 400, {}, error(message="max_tokens is too large", type="invalid_request_error"), None),
        ("google", 400, {}, error(details=[{"reason": "API_KEY_INVALID"}]), KEY_REFUSED),
        (
            "openai",
            400,
            {},
            b"[%s]" % error(code=400, status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}]),
            KEY_REFUSED,
        ),
        ("openai", 401, {}, b"", KEY_REFUSED),
        ("openai", 403, {}, b"", None),
        ("openai", 404, {}, b"", None),
        ("anthropic", 529, {}, error(type="overloaded_error"), Refusal(Outage.OVERLOADED, unbilled=True)),
        ("google", 503, {}, error(status="UNAVAILABLE", code=503), Refusal(Outage.OVERLOADED, unbilled=True)),
        ("anthropic", 500, {}, error(type="overloaded_error"), Refusal(Outage.OVERLOADED, unbilled=True)),
        ("anthropic", 529, {}, b"<html>", Refusal(Outage.OVERLOADED, unbilled=False)),
        ("openai", 503, {"retry-after": "1"}, b"", Refusal(Outage.OVERLOADED, unbilled=False)),
        ("openai", 503, {}, b"", Refusal(Outage.FAILING, unbilled=False)),
        ("openai", 500, {}, error(type="server_error"), Refusal(Outage.FAILING, unbilled=False)),
        ("openai", 200, {}, b"", None),
    ],
)
def test_whose_fault_a_refusal_is_and_whether_it_may_have_cost(kind, status, headers, body, expected):
    assert refusal(kind, status, headers, body) == expected


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
@pytest.mark.parametrize(
    "value", ["credit balance is too low", "Your credit balance is too low to", "insufficient_quota", "API_KEY_INVALID"]
)
@pytest.mark.parametrize("told", ["Invalid value: '{}'.", "reasoning_effort: {}", '{{"reason": "{}"}}'])
def test_a_value_that_the_provider_repeats_in_its_refusal_shuts_no_account(kind, value, told):
    echoed = error(message=told.format(value), type="invalid_request_error", param=value)
    assert refusal(kind, 400, {}, echoed) is None


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("anthropic", error(type="permission_error", message="Your API key does not have permission to"), KEY_REFUSED),
        ("anthropic", error(type="authentication_error", message="no"), KEY_REFUSED),
        ("anthropic", error(type="permission_error", message="This model is not for you"), None),
        ("anthropic", error(type="forbidden", message="Request not allowed"), None),
        ("google", error(status="PERMISSION_DENIED", message="Your API key was reported as leaked."), KEY_REFUSED),
        ("google", error(status="PERMISSION_DENIED", message="Your project has been denied access."), KEY_REFUSED),
        ("google", error(details=[{"reason": "API_KEY_SERVICE_BLOCKED"}]), KEY_REFUSED),
        ("google", error(details=[{"reason": "BILLING_DISABLED"}]), NO_CREDIT),
        ("google", error(status="PERMISSION_DENIED", message="You do not have access to this model"), None),
        ("openai", error(code="invalid_api_key"), KEY_REFUSED),
        ("openai", error(code=403, message="Key limit exceeded (total limit)."), NO_CREDIT),
        ("openai", json.dumps({"error": "Your newly created teams doesn't have any credits yet."}).encode(), NO_CREDIT),
        ("openai", error(code=403, message="m requires moderation", metadata={"reasons": ["violence"]}), None),
        ("openai", error(code="unsupported_country_region_territory"), None),
        ("openai", error(code="model_not_found", message="Project p does not have access to model m"), None),
        ("openai", b"<html>Request blocked</html>", None),
    ],
)
def test_a_403_is_the_keys_by_the_vendors_word_only(kind, body, expected):
    assert refusal(kind, 403, {}, body) == expected


def test_the_beginning_of_a_message_means_something_at_the_vendor_that_writes_it_only():
    assert refusal("openai", 400, {}, error(message="Your credit balance is too low: no such effort")) is None
    assert refusal("openai", 400, {}, error(message="Your team is no such effort")) is None  # a server of one's own
    assert refusal("google", 400, {}, error(message="Your API key is no such effort")) is None
    assert refusal("openai", 400, {}, error(details=[{"reason": "API_KEY_INVALID"}])) is None


@pytest.mark.parametrize(
    ("kind", "event", "expected"),
    [
        ("anthropic", {"type": "error", "error": {"type": "overloaded_error"}}, (503, Outage.OVERLOADED)),
        ("anthropic", {"type": "error", "error": {"type": "rate_limit_error"}}, (429, Outage.RATE_LIMITED)),
        ("anthropic", {"type": "error", "error": {"type": "api_error"}}, (500, Outage.FAILING)),
        ("openai", {"type": "error", "code": "rate_limit_exceeded", "message": "x"}, (429, Outage.RATE_LIMITED)),
        ("openai", {"type": "response.failed", "response": {"error": {"code": "server_error"}}}, (500, Outage.FAILING)),
        (
            "openai",
            {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}},
            (429, Outage.RATE_LIMITED),
        ),
        ("openai", {"type": "response.failed", "response": {"error": {"code": "invalid_prompt"}}}, (400, None)),
        ("openai", {"choices": [], "error": {"code": 502, "message": "gone"}}, (502, Outage.FAILING)),
        ("openai", {"error": {"code": "insufficient_quota"}}, (429, Outage.NO_CREDIT)),
        ("openai", {"error": "credit balance is too low"}, (500, Outage.FAILING)),
        ("google", {"error": {"code": 503, "status": "UNAVAILABLE"}}, (503, Outage.OVERLOADED)),
        ("google", {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, (429, Outage.RATE_LIMITED)),
        ("google", {"error": {"code": 400, "status": "INVALID_ARGUMENT"}}, (400, None)),
        ("openai", {"type": "response.failed", "response": {"error": {"code": "image_parse_error"}}}, (400, None)),
        ("openai", {"type": "error", "code": "image_parse_error", "message": "x"}, (400, None)),
        ("openai", {"error": {"code": "content_filter"}}, (400, None)),
        ("openai", {"error": {"code": "context_length_exceeded", "type": None}}, (400, None)),
        ("anthropic", {"type": "error", "error": {"type": "request_too_large"}}, (400, None)),
        ("openai", {"type": "response.failed", "response": {"error": None}}, (500, Outage.FAILING)),
        ("openai", {"type": "error", "code": None, "message": "x"}, (500, Outage.FAILING)),
        ("openai", {"error": {"message": "x"}}, (500, Outage.FAILING)),
        ("openai", {"error": {"code": "502", "type": "None"}}, (502, Outage.FAILING)),
        ("openai", {"error": {"code": 1301}}, (500, Outage.FAILING)),
        ("openai", {"error": {"type": "InternalServerError"}}, (500, Outage.FAILING)),
        ("anthropic", {"type": "error", "error": {"type": "timeout_error"}}, (500, Outage.FAILING)),
        ("openai", {"error": {"code": "vector_store_timeout"}}, (500, Outage.FAILING)),
        ("openai", {"error": {"code": "service_unavailable"}}, (503, Outage.FAILING)),
        ("openai", {"error": {"code": "rate_limit_reached"}}, (429, Outage.RATE_LIMITED)),
        ("openai", {"error": {"code": "invalid_api_key"}}, (400, Outage.KEY_REFUSED)),
    ],
)
def test_what_an_error_in_the_middle_of_an_answer_says_of_the_account(kind, event, expected):
    status, found = failed_stream(kind, json.dumps(event).encode())
    assert (status, found and found.outage) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)


@given(st.integers(100, 599), st.binary(max_size=50) | JSON.map(lambda value: json.dumps({"error": value}).encode()))
def test_no_body_and_no_header_breaks_the_reading(status, body):
    for kind in ("openai", "anthropic", "google"):
        refusal(kind, status, {}, body)
        failed_stream(kind, body)
    retry_after_s({}, b"RetryInfo" + body, NOW)


@given(st.dictionaries(st.sampled_from([
    "retry-after", "retry-after-ms", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
    "x-ratelimit-limit-requests", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset",
]), st.text(max_size=30)))  # fmt: skip
def test_no_header_breaks_the_reading(headers):
    found = [*told("openai", headers, lambda: NOW), *told("anthropic", headers, lambda: NOW)]
    assert all(one.remaining >= 0 and one.reset_s >= 0 for one in found)
    wait = retry_after_s(headers, b"", NOW)
    assert wait is None or wait >= 0
