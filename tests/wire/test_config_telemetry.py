from __future__ import annotations

import pytest

from tests.wire.test_config import SMALL, load, problems


def test_nothing_is_told_to_anybody_by_default():
    section = load(SMALL).telemetry
    assert (section.otlp_endpoint, section.content, section.sample_ratio) == (None, False, 1.0)


def test_the_endpoint_may_come_from_the_standard_variable():
    more = '[telemetry]\notlp_endpoint = "${OTEL_EXPORTER_OTLP_ENDPOINT}"\nsample_ratio = 0.1\n'
    section = load(SMALL + more, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318").telemetry
    assert (section.otlp_endpoint, section.sample_ratio) == ("http://127.0.0.1:4318", 0.1)


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ('otlp_endpoint = "127.0.0.1:4318"', "otlp_endpoint"),
        ('otlp_endpoint = "http://user:secret@collector"', "user or password"),
        ('otlp_endpoint = "http://collector/v1/traces/"', "added by itself"),
        ("content = true", "of no use without otlp_endpoint"),
        ('headers_env = "X"', "of no use without otlp_endpoint"),
        ("sample_ratio = 1.5", "sample_ratio"),
        ('otlp_endpoint = "http://c"\ntraces = true', "traces"),
    ],
)
def test_what_cannot_be_meant_is_refused(keys, word):
    [(line, what, mend)] = problems(f"{SMALL}[telemetry]\n{keys}\n")
    assert word in f"{what} {mend}"
    assert line >= SMALL.count("\n")
