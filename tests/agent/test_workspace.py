from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.agent.workspace import Workspace
from swarmworks.base.errors import ToolError

LINKS = {
    "up": "..",
    "abs": "/",
    "inside": "app",
    "file": "../secret",
    "self": "self",
    "chain": "up/..",
    "deep/up": "../..",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    beside = tmp_path_factory.mktemp("beside")
    (beside / "secret").write_text("secret")
    root = beside / "copy"
    for folder in ("app", "deep", ".git"):
        (root / folder).mkdir(parents=True)
    (root / "app" / "x.py").write_text("x")
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    return root


parts = st.sampled_from(
    [
        "app",
        "x.py",
        "deep",
        "up",
        "abs",
        "inside",
        "file",
        "self",
        "chain",
        "..",
        ".",
        "",
        "secret",
        "copy",
        ".git",
        "new",
    ]
)
paths = st.builds(
    lambda start, rest: start + "/".join(rest), st.sampled_from(["", "/", "./", "//"]), st.lists(parts, max_size=8)
)


@given(path=paths | st.text(max_size=40))
def test_every_path_is_inside_or_refused(root, path):
    workspace = Workspace(str(root), ("",))
    try:
        relative = workspace.locate(path)
    except ToolError:
        return
    assert not relative.startswith("/")
    assert not {"..", ".git"} & set(PurePosixPath(relative).parts)
    assert os.path.realpath(root / relative) == str(root / relative), "a link was left in it"


@given(path=paths | st.text(max_size=40))
def test_whatever_can_be_opened_is_inside(root, path):
    try:
        descriptor = Workspace(str(root), ()).open_read(path)
    except ToolError:
        return
    try:
        assert Path(f"/proc/self/fd/{descriptor}").readlink() == root / "app" / "x.py"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("appeared", ["inside/x.py", "file", "abs/etc/passwd"])
def test_a_link_that_appears_after_the_check_is_refused(root, monkeypatch, appeared):
    workspace = Workspace(str(root), (appeared,))
    monkeypatch.setattr(workspace, "locate", lambda _path: appeared)
    with pytest.raises(ToolError, match=r"leads through a link|Not a directory"):
        workspace.open_read("inside/x.py")
    with pytest.raises(ToolError, match=r"leads through a link|Not a directory"):
        workspace.open_write("inside/x.py")


owned = st.lists(st.sampled_from(["app/x.py", "app/", "tests/", "a", "app", "", "/"]), max_size=3)


@given(owned=owned, relative=st.sampled_from(["app/x.py", "app", "apple", "tests/a/b", "tests", "a", "ab", "x"]))
def test_only_owned_files_may_be_written(root, owned, relative):
    workspace = Workspace(str(root), tuple(owned))
    allowed = relative in owned or any(o.endswith("/") and o != "/" and relative.startswith(o) for o in owned)
    if allowed:
        workspace.require_owned(relative)
    else:
        with pytest.raises(ToolError, match="not yours to write"):
            workspace.require_owned(relative)
