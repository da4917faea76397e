"""Which names an agent's program goes by among the programs that its sandbox allows."""

from __future__ import annotations

from swarmworks.worker.agent_process import _own


def test_a_program_of_its_own_is_its_path_alone(tmp_path):
    (tmp_path / "it").touch()
    assert _own(str(tmp_path / "it")) == (str(tmp_path / "it"),)
    assert _own("/opt/codex/codex") == ("/opt/codex/codex",)


def test_one_of_the_systems_goes_by_its_name_too_and_so_does_what_links_to_it(tmp_path):
    assert _own("/usr/bin/node") == ("/usr/bin/node", "node")
    link = tmp_path / "python"
    link.symlink_to("/usr/bin/env")
    assert _own(str(link)) == (str(link), "env")
