"""Entry of the agent in the sandbox: `python -S -E -B .../swarmworks/agent/__main__.py`, with nothing installed.

Python puts this file's own folder on the path; what is needed there is the folder that holds `swarmworks`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from swarmworks.agent.session import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
