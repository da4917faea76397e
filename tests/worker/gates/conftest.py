from __future__ import annotations

import pytest

from tests.worker.gates.bench import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)
