"""A model and sites that are cleaned up whatever a test did to their processes."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest

from tests.scenario.driver import CountedModel, Site, twelve


@pytest.fixture(scope="module")
def model_without_faults():
    command = [sys.executable, "-m", "swarmworks.provider.rehearsal"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        with httpx.Client(base_url=f"http://{ready['host']}:{ready['port']}", timeout=60) as client:
            yield client
        process.terminate()


@pytest.fixture
def model():
    made = CountedModel()
    yield made
    made.close()


@pytest.fixture
def build(tmp_path, model):
    made: list[Site] = []

    def make(tasks=None, *, url: str | None = None, **more) -> Site:
        made.append(Site(tmp_path / f"site{len(made)}", url or model.url, tasks or twelve(), **more))
        return made[-1]

    yield make
    for site in made:
        site.close()
