from __future__ import annotations

import pytest

from swarmworks.domain.gate import GateOutcome
from swarmworks.git.protocol import FileChange
from swarmworks.wire.protected import ALWAYS_PROTECTED, DEFAULT_PROTECTED
from swarmworks.worker.gates.scope import check_scope

PROTECTED = (*ALWAYS_PROTECTED, *DEFAULT_PROTECTED)


def scope(bench, *changes, owns=("app/",)):
    return check_scope(bench.request(changes=changes, owns=owns, protected=PROTECTED))


def test_owned_files_and_folders_may_be_written(bench):
    changes = [bench.write("app/a.py"), bench.write("app/deep/b.py"), bench.write("tests/test_a.py")]
    assert scope(bench, *changes, owns=("app/", "tests/test_a.py")).outcome is GateOutcome.PASSED


def test_no_change_is_in_scope_of_everything(bench):
    assert scope(bench, owns=()).outcome is GateOutcome.PASSED


@pytest.mark.parametrize("path", ["other.py", "application/a.py", "App/a.py", "tests/test_a.py.bak"])
def test_anything_else_may_not(bench, path):
    result = scope(bench, bench.write(path), owns=("app/", "tests/test_a.py"))
    assert result.outcome is GateOutcome.FAILED
    assert result.findings[0].file == path
    assert "app/" in result.findings[0].expected


def test_deleting_a_file_is_touching_it(bench):
    assert scope(bench, FileChange("other.py", "D", 0, 1, "000000")).findings[0].provided == "deleted"


@pytest.mark.parametrize(
    "path", ["app/CLAUDE.md", "app/agents.MD", "app/.claude/settings.json", "app/pyproject.toml", "app/x.pth"]
)
def test_owning_a_folder_does_not_open_protected_files_in_it(bench, path):
    result = scope(bench, bench.write(path))
    assert result.outcome is GateOutcome.FAILED
    assert "protected by" in result.findings[0].message


@pytest.mark.parametrize(
    ("path", "owns"),
    [
        ("requirements.txt", "requirements.txt"),
        (".github/workflows/ci.yml", ".github/"),
        ("requirements/a.txt", "requirements/"),
    ],
)
def test_a_task_that_names_a_protected_path_may_write_it(bench, path, owns):
    assert scope(bench, bench.write(path), owns=(owns,)).outcome is GateOutcome.PASSED


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "chain"])
def test_links_out_of_the_repository_are_refused(bench, target):
    bench.write("app/a.py")
    (bench.tree / "app" / "chain").symlink_to("../..")
    (bench.tree / "app" / "link").symlink_to(target)
    result = scope(bench, FileChange("app/link", "A", 1, 0, "120000"))
    assert "out of the repository" in result.findings[0].message


def test_a_link_within_the_repository_is_fine(bench):
    bench.write("app/a.py")
    (bench.tree / "app" / "link").symlink_to("a.py")
    assert scope(bench, FileChange("app/link", "A", 1, 0, "120000")).outcome is GateOutcome.PASSED


@pytest.mark.parametrize("mode", ["160000", "104755", "020644"])
def test_embedded_repositories_and_odd_modes_are_refused(bench, mode):
    bench.write("app/x")
    assert scope(bench, FileChange("app/x", "A", 1, 0, mode)).outcome is GateOutcome.FAILED


def test_a_setuid_file_is_refused(bench):
    change = bench.write("app/x")
    (bench.tree / "app/x").chmod(0o4755)
    assert "setuid" in scope(bench, change).findings[0].message


@pytest.mark.parametrize(
    "path", ["app/../other.py", "/etc/x", "app/.GIT/config", "app/git~1/config", "app/a\nb", "app/" + "d/" * 300]
)
def test_paths_that_are_traps_are_refused(bench, path):
    result = scope(bench, FileChange(path, "A", 1, 0, "100644"))
    assert "safely" in result.findings[0].message


@pytest.mark.parametrize(
    ("path", "unseen"),
    [
        ("app/a\x9b2J.py", "U+009B"),
        ("app/a\x85b.py", "U+0085"),
        ("app/\u202eyp.a", "U+202E"),
        ("app/a\u2028b", "U+2028"),
        ("app/a\xad\ufeff.py", "U+00AD, U+FEFF"),
        ("app/a\tb", "U+0009"),
    ],
)
def test_a_name_with_characters_that_nobody_sees_is_refused_and_they_are_named(bench, path, unseen):
    result = scope(bench, FileChange(path, "A", 1, 0, "100644"))
    assert result.outcome is GateOutcome.FAILED
    assert (result.findings[0].message, result.findings[0].provided) == (
        "this path cannot be checked out safely",
        unseen,
    )


def test_a_name_that_is_there_already_may_be_mended_deleted_and_renamed(bench):
    name = "app/\u200ereport.md"
    bench.write(name)
    assert scope(bench, FileChange(name, "M", 1, 1, "100644")).outcome is GateOutcome.PASSED
    (bench.tree / name).unlink()
    renamed = (FileChange(name, "D", 0, 1, "000000"), bench.write("app/report.md"))
    assert scope(bench, *renamed).outcome is GateOutcome.PASSED
    assert scope(bench, *renamed, owns=("other/",)).outcome is GateOutcome.FAILED


@pytest.mark.parametrize(
    "name",
    [
        "größe.py",
        "日本語.md",
        "\u0634\u06a9\u0644\u200c\u0647\u0627.md",
        "👩\u200d💻.md",
        "❤️.md",
        "\U0001fae8.md",
        "a b.md",
        "9\u202fam.png",
    ],
)
def test_letters_of_any_language_and_emoji_may_be_in_a_name(bench, name):
    assert scope(bench, bench.write(f"app/{name}")).outcome is GateOutcome.PASSED


def test_two_names_for_one_file_without_case_are_refused(bench):
    bench.write("app/main.py")
    result = scope(bench, bench.write("app/Main.py"))
    assert result.outcome is GateOutcome.FAILED
    assert "ignores case" in result.findings[0].message


@pytest.mark.parametrize(
    ("path", "writes", "outcome"),
    [
        ("app/notes.md", ("*.md",), GateOutcome.PASSED),
        ("app/a.py", ("*.md",), GateOutcome.FAILED),
        ("app/a.py", None, GateOutcome.PASSED),
        ("app/a.py", (), GateOutcome.FAILED),
        ("other.md", ("*.md",), GateOutcome.FAILED),
    ],
)
def test_a_role_writes_what_its_task_owns_and_its_patterns_allow(bench, path, writes, outcome):
    request = bench.request(
        changes=(bench.write(path),), owns=("app/",), protected=PROTECTED, role="documenter", role_writes=writes
    )
    result = check_scope(request)
    assert result.outcome is outcome
    if writes is not None and path == "app/a.py":
        assert "'documenter' may not write" in result.findings[0].message
