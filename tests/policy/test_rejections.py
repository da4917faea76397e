from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.policy.rejections import from_gates


def test_what_failed_is_told_before_what_only_followed_from_it():
    coverage = GateResult("coverage", GateOutcome.RAN_NOTHING, "no evidence", findings=(Finding("no report"),))
    tests = GateResult("tests", GateOutcome.FAILED, "1 of 9 tests failed", findings=(Finding("assert 1 == 2"),))
    rejection = from_gates([coverage, tests], tree="t", base="b")
    assert rejection.summary == "tests: 1 of 9 tests failed; coverage: no evidence"
    assert [finding.gate for finding in rejection.findings] == ["tests", "coverage"]
