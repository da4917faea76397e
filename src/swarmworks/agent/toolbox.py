"""The tools by name: what the model is offered, how its arguments are checked, and what each call does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.agent import document, files
from swarmworks.agent.command import run_command
from swarmworks.agent.dialect import ToolSchema
from swarmworks.agent.interrupts import TookTooLongError
from swarmworks.agent.platform_tools import MAIL, TAKE_OVER
from swarmworks.agent.platform_tools import TOOLS as PLATFORM_TOOLS
from swarmworks.base.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmworks.agent.conversation import ToolCall
    from swarmworks.agent.interrupts import Interrupts
    from swarmworks.agent.platform_tools import Platform
    from swarmworks.agent.workspace import Workspace

HAND_IN = "hand_in"
WRITING = frozenset({"write_file", "edit_file"})
SEARCH_TIMEOUT_S = 20.0

_TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float), "array": (list,)}


def load_schemas(
    *, writable: bool, platform: bool, mail: bool = False, takes_over: bool = False
) -> tuple[ToolSchema, ...]:
    """Without a platform to ask, its tools are not offered; nor those of mail to an agent that has none, nor `take_over` to a
    session that goes on from no other.
    """
    raw = Path(__file__).with_name("tools.json").read_bytes()
    schemas = [
        ToolSchema(
            document.text(entry["name"]), document.text(entry["description"]), document.mapping(entry["parameters"])
        )
        for entry in map(document.mapping, document.items(document.parse(raw)))
    ]
    offered = [schema for schema in schemas if writable or schema.name not in WRITING]
    without = {*(() if mail else MAIL), *(() if takes_over else (TAKE_OVER,))} if platform else PLATFORM_TOOLS
    return tuple(schema for schema in offered if schema.name not in without)


class Toolbox:
    """`written` are the files this session wrote through its tools, in the order they were first written. `must_take_over`: it
    goes on from another session, and has not yet said what it took over.
    """

    def __init__(
        self,
        workspace: Workspace,
        schemas: tuple[ToolSchema, ...],
        interrupts: Interrupts,
        command_timeout_s: float,
        platform: Platform | None,
    ) -> None:
        self._workspace = workspace
        self._schemas = {schema.name: schema for schema in schemas}
        self._interrupts = interrupts
        self._command_timeout_s = command_timeout_s
        self._actions: dict[str, Callable[[dict[str, object]], str]] = {
            "list_files": self._list_files,
            "read_file": self._read_file,
            "search": self._search,
            "write_file": self._write_file,
            "edit_file": self._edit_file,
            "run_command": self._run_command,
        }
        if platform is not None:
            for name in PLATFORM_TOOLS:
                self._actions[name] = partial(self._ask_platform, platform, name)
        self.written: list[str] = []
        self.must_take_over = TAKE_OVER in self._schemas

    def arguments(self, call: ToolCall, *, cut: bool) -> dict[str, object]:
        """The call's arguments, checked against the tool's schema. ToolError in words the model can act on."""
        schema = self._schemas.get(call.tool)
        if schema is None:
            raise ToolError(f"there is no tool {call.tool!r}; there are: {', '.join(self._schemas)}")
        if call.arguments is None:
            mend = (
                "the answer was cut at the output limit: write smaller pieces"
                if cut
                else f"what came was {document.clip(call.raw, 200)!r}"
            )
            raise ToolError(f"the arguments of {call.tool} are not a JSON object; {mend}")
        problems = _problems(schema, call.arguments)
        if problems:
            raise ToolError(f"{call.tool}: {'; '.join(problems)}")
        return call.arguments

    def use(self, tool: str, arguments: dict[str, object]) -> str:
        """Run any tool but `hand_in`, with checked arguments. ToolError when it fails."""
        try:
            return self._actions[tool](arguments)
        except OSError as error:
            raise ToolError(f"{tool} failed: {error}") from error

    def _ask_platform(self, platform: Platform, name: str, arguments: dict[str, object]) -> str:
        answer = platform.call(name, arguments)
        if name == TAKE_OVER:
            self.must_take_over = False
        self._workspace.own(answer.granted)
        return answer.text

    def _list_files(self, arguments: dict[str, object]) -> str:
        limit = arguments.get("limit", files.DEFAULT_LISTED)
        return files.list_files(self._workspace, document.text(arguments.get("path")), document.whole(limit))

    def _read_file(self, arguments: dict[str, object]) -> str:
        end = arguments.get("end_line")
        return files.read_file(
            self._workspace,
            document.text(arguments["path"]),
            document.whole(arguments.get("start_line", 1)),
            document.whole(end) if end is not None else None,
        )

    def _search(self, arguments: dict[str, object]) -> str:
        pattern, path = document.text(arguments["pattern"]), document.text(arguments.get("path"))
        try:
            with self._interrupts.within(SEARCH_TIMEOUT_S):
                return files.search(self._workspace, pattern, path)
        except TookTooLongError:
            mend = "use a simpler expression, or name a folder"
            raise ToolError(f"the search took more than {SEARCH_TIMEOUT_S:g} s; {mend}") from None

    def _write_file(self, arguments: dict[str, object]) -> str:
        path = document.text(arguments["path"])
        answer = files.write_file(self._workspace, path, document.text(arguments["content"]))
        return self._wrote(path, answer)

    def _edit_file(self, arguments: dict[str, object]) -> str:
        path, old, new = (document.text(arguments[name]) for name in ("path", "old", "new"))
        return self._wrote(path, files.edit_file(self._workspace, path, old, new))

    def _wrote(self, path: str, answer: str) -> str:
        relative = self._workspace.locate(path)
        if relative not in self.written:
            self.written.append(relative)
        return answer

    def _run_command(self, arguments: dict[str, object]) -> str:
        wanted = arguments.get("timeout_s", self._command_timeout_s)
        timeout_s = wanted if isinstance(wanted, int | float) else self._command_timeout_s
        if not timeout_s > 0:
            raise ToolError("timeout_s must be more than 0")
        timeout_s = min(timeout_s, self._command_timeout_s)
        return run_command(document.text(arguments["command"]), self._workspace.root, timeout_s, self._interrupts)


def _problems(schema: ToolSchema, arguments: dict[str, object]) -> list[str]:
    properties = document.mapping(schema.parameters.get("properties"))
    problems = [f"{name} is missing" for name in document.items(schema.parameters["required"]) if name not in arguments]
    for name, value in arguments.items():
        if name not in properties:
            known = ", ".join(properties)
            problems.append(f"there is no argument {document.clip(name, 100)!r}, there are: {known}")
            continue
        kind = document.text(document.mapping(properties[name]).get("type"))
        if not isinstance(value, _TYPES[kind]) or isinstance(value, bool):
            problems.append(f"{name} must be of type {kind}")
    return problems
