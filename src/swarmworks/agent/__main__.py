"""Entry of the agent in the sandbox: `python -S -E -B .../swarmworks/agent/__main__.py`, with nothing installed; and, with
`swarm-agent COMMAND ...` behind it, of that command.

Python puts this file's own folder on the path, and what is needed is the package it lies in. That is loaded by its place: the folder
above it may hold anything, and need not be readable.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

del sys.path[0]
_package = Path(__file__).resolve().parents[1]
_spec = spec_from_file_location(_package.name, _package / "__init__.py", submodule_search_locations=[str(_package)])
assert _spec is not None
assert _spec.loader is not None
sys.modules[_package.name] = module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[_package.name])

if __name__ == "__main__":
    if sys.argv[1:2] == ["swarm-agent"]:
        del sys.argv[1]
        from swarmworks.agent.swarm_agent import main
    else:
        from swarmworks.agent.session import main
    sys.exit(main())
