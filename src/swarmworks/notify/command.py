"""Any program: the dispatch as JSON on its standard input, the essentials in variables `SWARM_NOTICE_*`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence

from swarmworks.notify.program import run_program
from swarmworks.notify.protocol import Dispatch, Lack
from swarmworks.notify.wire_form import as_json


class CommandChannel:
    """`environment` is what the program starts with; it must not hold a provider's key."""

    def __init__(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], *, timeout_s: float = 30.0
    ) -> None:
        self.name = name
        self._argv = tuple(argv)
        self._environment = dict(environment)
        self._timeout_s = timeout_s

    @property
    def address(self) -> str:
        return f"command {self._argv[0]}"

    def lacks(self) -> Lack | None:
        if shutil.which(self._argv[0], path=self._environment.get("PATH")) is None:
            return Lack(f"{self._argv[0]} is not a program here", "name one that can be executed, with its full path")
        return None

    async def send(self, dispatch: Dispatch) -> None:
        variables = {
            "SWARM_NOTICE_ID": dispatch.key,
            "SWARM_NOTICE_KIND": ",".join(dict.fromkeys(one.kind for one in dispatch.notices)),
            "SWARM_NOTICE_SEVERITY": str(dispatch.severity),
            "SWARM_NOTICE_PROJECT": dispatch.project,
            "SWARM_NOTICE_SWARM": dispatch.notices[0].swarm_id,
            "SWARM_NOTICE_TITLE": dispatch.title,
            "SWARM_NOTICE_TEXT": dispatch.text,
            "SWARM_NOTICE_COMMAND": dispatch.notices[0].command,
        }
        given = json.dumps(as_json(dispatch), ensure_ascii=False).encode()
        await run_program(self._argv, {**self._environment, **variables}, given=given, timeout_s=self._timeout_s)
