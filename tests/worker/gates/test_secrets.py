from __future__ import annotations

import pytest

from swarmworks.domain.gate import GateOutcome
from swarmworks.git.protocol import FileChange
from swarmworks.worker.gates.secrets import check_secrets, secrets_in

LETTERS = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3hJ5kL7nP9r"
REAL = {
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "AWS access": "AKIA" + "QWERTYUIOPASDFGH",
    "AWS secret": "aws_secret_access_key = '" + (LETTERS * 2)[:40] + "'",
    "GitHub": "ghp_" + LETTERS[:36],
    "GitLab": "glpat-" + LETTERS[:20],
    "Slack token": "xoxb-" + "123456789012-" + LETTERS[:24],
    "Google API": "AIza" + LETTERS[:35],
    "Anthropic": "sk-ant-api03-" + LETTERS[:40],
    "OpenAI": "sk-proj-" + LETTERS[:40],
    "Stripe": "sk_live_" + LETTERS[:24],
}


@pytest.mark.parametrize("kind", REAL)
def test_known_keys_are_found_everywhere_and_never_shown(kind):
    for path in ("app/config.py", "tests/test_config.py"):
        found = list(secrets_in(f'KEY = "{REAL[kind]}"', path))
        assert kind in found[0]
        assert LETTERS[4:20] not in found[0]


@pytest.mark.parametrize(
    "line",
    [
        f'API_KEY = "{LETTERS[:24]}"',
        f"password: '{LETTERS[:20]}'",
        f'"client_secret": "{LETTERS[:32]}",',
        f'token: str = "{LETTERS[:32]}"',
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        "postgres://admin:s3cr3tpassw0rd@db.internal/x",
    ],
)
def test_random_values_under_telling_names_are_found_outside_tests(line):
    assert list(secrets_in(line, "app/settings.py"))
    assert not list(secrets_in(line, "tests/test_settings.py"))


@pytest.mark.parametrize(
    "line",
    [
        'password = "correct horse battery staple"',
        "password: str = Field(min_length=12, max_length=128)",
        'token = create_token(subject="user-1234567890abcdef")',
        'SECRET = os.environ["APP_SECRET_KEY_2024"]',
        'api_key = "your-api-key-goes-here-1234"',
        'aws = "AKIAIOSFODNN7EXAMPLE"',
        'token_url = "/api/v1/auth/login/token2"',
        'password_hash = "scrypt$16384$8$1"',
        "integrity sha512-abc",
        'digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
        'url = "http://user:password@localhost:5432/db"',
        "secret_key: ${APP_SECRET_KEY_FROM_ENV}",
    ],
)
def test_ordinary_lines_are_not(line):
    assert not list(secrets_in(line, "app/main.py"))


def check(bench, changes, diff):
    return check_secrets(bench.request(changes=changes, diff=diff))


def test_the_finding_names_file_and_line_of_the_added_line_only(bench):
    diff = (
        "diff --git a/app/a.py b/app/a.py\n--- a/app/a.py\n+++ b/app/a.py\n@@ -3,3 +3,3 @@ def x():\n context\n"
        f'-old = "{REAL["GitHub"]}"\n+new = "{REAL["GitLab"]}"\n context\n'
    )
    result = check(bench, (FileChange("app/a.py", "M", 1, 1, "100644"),), diff)
    assert result.outcome is GateOutcome.FAILED
    assert [(finding.file, finding.line) for finding in result.findings] == [("app/a.py", 4)]


def test_removing_a_secret_passes(bench):
    diff = f'--- a/a.py\n+++ b/a.py\n@@ -1,1 +0,0 @@\n-old = "{REAL["GitHub"]}"\n'
    assert check(bench, (FileChange("a.py", "M", 0, 1, "100644"),), diff).outcome is GateOutcome.PASSED


def test_content_that_looks_like_a_diff_does_not_hide_what_follows(bench):
    diff = f'--- /dev/null\n+++ b/a.py\n@@ -0,0 +1,3 @@\n+++ b/tests/x\n+@@ -0,0 +0,0 @@\n+k = "{REAL["GitHub"]}"\n'
    result = check(bench, (FileChange("a.py", "A", 3, 0, "100644"),), diff)
    assert (result.findings[0].file, result.findings[0].line) == ("a.py", 3)


def test_what_a_cut_diff_does_not_show_is_read_from_the_tree(bench):
    change = bench.write("app/a.py", "a = 1\n" * 50 + f'k = "{REAL["Stripe"]}"\n')
    result = check(bench, (change,), "--- /dev/null\n+++ b/app/a.py\n@@ -0,0 +1,51 @@\n+a = 1\n[cut]\n")
    assert (result.findings[0].file, result.findings[0].line) == ("app/a.py", 51)


def test_a_binary_file_is_searched_too(bench):
    bench.write("app/data.bin", "\0\0" + REAL["private key"])
    assert check(bench, (FileChange("app/data.bin", "A", None, None, "100644"),), "").outcome is GateOutcome.FAILED


def test_a_file_too_large_to_search_is_no_pass(bench, monkeypatch):
    monkeypatch.setattr("swarmworks.worker.gates.difference.FILE_LIMIT_BYTES", 10)
    result = check(bench, (bench.write("a.py", "x" * 100 + "\n"),), "")
    assert result.outcome is GateOutcome.COULD_NOT_RUN


def test_quoted_names_in_diffs_are_understood(bench):
    diff = f'--- /dev/null\n+++ "b/app/\\303\\244.py"\n@@ -0,0 +1,1 @@\n+k = "{REAL["GitHub"]}"\n'
    assert check(bench, (FileChange("app/ä.py", "A", 1, 0, "100644"),), diff).findings[0].file == "app/ä.py"
