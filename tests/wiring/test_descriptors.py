from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource
from swarmworks.wiring.descriptors import allow_many
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_many()
print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))
"""


@pytest.mark.parametrize(("soft", "hard", "then"), [(256, 2_000, 2_000), (2_000, 2_000, 2_000)])
def test_a_process_allows_itself_what_it_may(soft, hard, then):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(soft=soft, hard=hard)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [then, hard]
