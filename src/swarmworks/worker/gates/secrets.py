"""Gate `secrets`: no added line holds a credential. What it shows of one is masked.

Known shapes of keys count everywhere. The rule for anything that merely looks random under a telling name is kept out of
tests and examples, where such values are made up.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.worker.gates.difference import added_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.worker.gates.request import GatesRequest

MAX_FINDINGS = 50
_MAX_LINE = 20_000


@dataclass(frozen=True, slots=True)
class Rule:
    what: str
    pattern: re.Pattern[str]
    in_tests: bool = True


def _rule(what: str, pattern: str, *, in_tests: bool = True) -> Rule:
    return Rule(what, re.compile(pattern), in_tests)


RULES = (
    _rule("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    _rule("an AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    _rule("an AWS secret key", r"(?i)aws.{0,20}(?:secret|key).{0,5}[\"'=:\s]([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"),
    _rule("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{50,255})\b"),
    _rule("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}\b"),
    _rule("a Slack token", r"\bxox[abposr]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{20,}"),
    _rule("a Slack webhook", r"https://hooks\.slack\.com/services/T[A-Za-z0-9]+/B[A-Za-z0-9]+/[A-Za-z0-9]{20,}"),
    _rule("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _rule("a Google OAuth secret", r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    _rule("an Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    _rule("an OpenAI key", r"\bsk-(?:proj-|svcacct-|admin-)[A-Za-z0-9_-]{20,}|\bsk-[A-Za-z0-9]{48}\b"),
    _rule("a Stripe key", r"\b[rs]k_live_[A-Za-z0-9]{20,}"),
    _rule("a Hugging Face token", r"\bhf_[A-Za-z]{34}\b"),
    _rule("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _rule("a PyPI token", r"\bpypi-AgEIcHlwaS[A-Za-z0-9_-]{50,}"),
    _rule("a SendGrid key", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b"),
    _rule(
        "a signed token (JWT)", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}", in_tests=False
    ),
    _rule(
        "a password in an address",
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"']{1,64}:([^\s/:@\"'{}$<>*]{8,64})@(?!localhost|127\.)",
        in_tests=False,
    ),
)
_ASSIGNMENT = re.compile(
    r"(?i)[\w.-]{0,40}(?:api[_-]?key|secret|token|passw(?:or)?d|passphrase|credential|private[_-]?key|auth[_-]?key)[\w-]{0,20}"
    r"[\"']?\s*(?::\s*[\w\[\]| ]{1,40})?(?:=>|[:=])\s*[\"'`]([^\"'`\s]{16,200})[\"'`]"
)
_PLACEHOLDER = re.compile(
    r"(?i)example|sample|placeholder|change[-_]?me|dummy|fake|your[-_]|xxxx|\.\.\.|<|\$\{|\$\(|\{\{|%\(|test|insert|replace|redacted|^[*x]+$"
)
_TEST_PATH = re.compile(
    r"(?i)(^|/)(tests?|testing|spec|specs|__tests__|fixtures?|examples?|testdata)/|(^|/)(test_|conftest)|[._-](test|spec)\.|_test\."
)
_LEAST_ENTROPY_BITS = 3.6  # per character: English words under 3.3, 20 random letters and digits above 3.8


def check_secrets(request: GatesRequest) -> GateResult:
    findings: list[Finding] = []
    lines = 0
    difference = added_lines(request.tree, request.changes, request.diff)
    for path, number, text in difference.lines:
        lines += 1
        findings.extend(Finding(message, path, number) for message in secrets_in(text, path))
    metrics = {"added_lines": float(lines)}
    if findings:
        summary = (
            f"{len(findings)} possible credentials in added lines: remove them, and take a new key where one was real"
        )
        kept = tuple(findings[:MAX_FINDINGS])
        return GateResult("secrets", GateOutcome.FAILED, summary, findings=kept, metrics=metrics)
    if difference.unread:
        summary = f"too large to be searched: {', '.join(difference.unread[:5])}"
        return GateResult("secrets", GateOutcome.COULD_NOT_RUN, summary, metrics=metrics)
    return GateResult("secrets", GateOutcome.PASSED, f"no credential in {lines} added lines", metrics=metrics)


def secrets_in(text: str, path: str) -> Iterator[str]:
    """What credentials a line of the file `path` seems to hold, in masked words. At most one message for each value."""
    line = text[:_MAX_LINE]
    in_tests = _TEST_PATH.search(path) is not None
    spans: list[tuple[int, int]] = []
    for rule in RULES:
        for match in rule.pattern.finditer(line):
            value = match.group(match.lastindex or 0)
            start, end = match.span(match.lastindex or 0)
            if in_tests and not rule.in_tests:
                continue
            if _PLACEHOLDER.search(value) or any(start < e and s < end for s, e in spans):
                continue
            spans.append((start, end))
            yield f"looks like {rule.what}: {masked(value)}"
    if in_tests:
        return
    for match in _ASSIGNMENT.finditer(line):
        value = match.group(1)
        start, end = match.span(1)
        if looks_random(value) and not any(start < e and s < end for s, e in spans):
            yield f"a random-looking value under a telling name: {masked(value)}"


def looks_random(value: str) -> bool:
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    if kinds < 2 or not re.search("[0-9]", value) or _PLACEHOLDER.search(value):
        return False
    if value.startswith(("/", "./", "http:", "https:")) or not re.fullmatch(r"[A-Za-z0-9+/=_.~-]+", value):
        return False
    counts = Counter(value)
    entropy_bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return entropy_bits >= _LEAST_ENTROPY_BITS


def masked(value: str) -> str:
    """Enough to find the value by, too little to use it."""
    if value.startswith("-----BEGIN"):
        return value
    shown = value[:4] if len(value) > 12 else value[:1]
    return f"{shown}… ({len(value)} characters)"
