from pathlib import Path

import pytest
from bench.engines.measuring import Measured

from bench import bench_engines as bench


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(bench, "PEERS", Path("/nowhere/python"))
    peers = [
        bench.Engine(one.name, one.module, bench.PEERS, one.on) for one in bench.ENGINES if one.python != bench.OURS
    ]
    monkeypatch.setattr(bench, "ENGINES", peers)


def test_a_peer_that_is_not_installed_is_named(nothing_installed, capsys):
    bench.run(smoke=True)
    said = capsys.readouterr().out
    for name in ("procrastinate", "dbos", "celery"):
        assert f"{name} " in said
    assert said.count("MISSING: not installed: run `make bench`") == len(bench.ENGINES)
    assert "no durable peer was measured" in said


def test_a_comparison_with_some_of_the_peers_says_that_it_is_not_complete(capsys):
    ours, procrastinate, dbos, celery, fast = (
        next(one for one in bench.ENGINES if one.name == name)
        for name in ("ours, leased work", "procrastinate", "dbos", "celery", "celery, not durable")
    )
    found = {
        ours: Measured("", 900.0, [1.0, 2.0], [1.0, 2.0]),
        procrastinate: Measured("", 300.0),
        dbos: Measured("", 90.0),
    }
    bench._compare(found)
    said = capsys.readouterr().out
    assert "/ procrastinate: 3.00x tasks/s" in said
    assert "NOT COMPLETE: only dbos, procrastinate measured" in said
    bench._compare({**found, celery: Measured("", 450.0), fast: Measured("", 5_000.0)})
    said = capsys.readouterr().out
    assert "/ celery: 2.00x tasks/s" in said  # what is not durable is no measure of what is
    assert "NOT COMPLETE" not in said


def test_an_engine_that_fails_says_why(monkeypatch, tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\necho first >&2\necho 'no such server' >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    engine = bench.Engine("broken", "on_nothing", tmp_path / "python", "sqlite")
    assert bench._measure(engine, bench.Asked("somewhere", 1, 1)) == "no such server"
