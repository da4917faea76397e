from __future__ import annotations

import pytest

from swarmworks.base.errors import EXIT_USAGE, UsageError
from swarmworks.wiring.launcher import ProcessLauncher
from tests.scenario.harness import git, repository

CONFIG = '[project]\nname = "a"\n[gates.tests]\nrun = "make test"\n'


@pytest.mark.parametrize("allow_dirty", [True, False])
def test_a_swarm_toml_below_the_top_of_its_repository_is_refused_with_the_mend(tmp_path, allow_dirty):
    repository(tmp_path, {"packages/a/swarm.toml": CONFIG})
    launcher = ProcessLauncher()
    project = launcher.project(tmp_path / "packages" / "a")
    with pytest.raises(UsageError, match="not lie at the top") as refused:
        launcher.base_commit(project, allow_dirty=allow_dirty)
    assert refused.value.exit_code == EXIT_USAGE
    assert "move it there" in refused.value.mend


@pytest.mark.parametrize("place", ["top", "below", "link", "worktree", "submodule"])
def test_one_at_the_top_is_where_a_swarm_starts_from_wherever_it_is_asked(tmp_path, place):
    top = tmp_path / "repo"
    head = repository(top, {"swarm.toml": CONFIG, "sub/a": ""})
    where = {"top": top, "below": top / "sub"}.get(place, tmp_path / "other")
    if place == "link":
        where.symlink_to(top)
    elif place == "worktree":
        git(top, "worktree", "add", "-q", "-b", "side", str(where))
    elif place == "submodule":
        git(tmp_path, "clone", "-q", "--separate-git-dir", str(tmp_path / "modules"), str(top), str(where))
    launcher = ProcessLauncher()
    assert launcher.base_commit(launcher.project(where), allow_dirty=False) == head
