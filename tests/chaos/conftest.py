"""A model and sites that are cleaned up whatever a test did to their processes."""

from __future__ import annotations

import pytest

from tests.scenario.driver import CountedModel, Site, twelve


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
