"""How a scripted model drives each program: the names of its tools, its provider's kind, and what a swarm.toml says of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass

from tests.agent.scripted_model import Answer, Call, Refuse, say

MODEL = "local:scripted"
PRICES = """
[prices."local:scripted"]
input_usd_per_mtok = 1
output_usd_per_mtok = 10
"""


@dataclass(frozen=True)
class Drive:
    """`shell` is the tool that runs a command, and the argument that holds it; `ours` begins the names of the platform's tools,
    None for a program that hands in by ending. `budget`, in dollars, holds one call as long as it may be and no second one.
    """

    name: str
    kind: str
    shell: tuple[str, str]
    ours: str | None
    budget: str = "0.13"
    unsaid: str = "it ended without a handoff"

    def run(self, command, **more):
        tool, argument = self.shell
        return Answer(calls=(Call(tool, {argument: command}),), **more)

    def write(self, name, **more):
        return self.run(f"echo {name} > {name}.txt", **more)

    def turns(self, recorded):
        """How many answers of tools a request tells of."""
        return json.dumps(recorded.body).count(TOOL_ANSWER[recorded.path.rpartition("/")[2].partition("?")[0]])

    def platform(self, tool, **arguments):
        return Answer(calls=(Call(self.ours + tool, arguments),))

    def hand_in(self, name, **changes):
        arguments = {"outcome": "submitted", "done": "did it", "changed": [{"path": f"{name}.txt", "what": "written"}]}
        return self.platform("hand_in", **{**arguments, **changes})

    def ends(self):
        """The answer with which a program that has no tools of the platform hands in."""
        return say("I did it.")

    def lands(self, name):
        """The answers of a session that lands; with the platform's tools, a handoff is refused first, in words for the model."""
        if self.ours is None:
            return [self.write(name), self.ends()]
        refused = self.hand_in(name, outcome="nothing_to_do", done="")
        return [self.write(name), self.platform("progress", text="half way"), refused, self.hand_in(name)]

    def only_speaks(self, name):
        return [self.write(name), say("I have finished, and all is well.")]

    @property
    def works_in_turns(self):
        """Whether it has written something when it asks again."""
        return True

    def fails(self, name):
        return [self.write(name), Refuse(400, "the model has no such thing")]

    def spends(self, recorded):
        """As dear an answer as was allowed, after which the program asks again."""
        return self.write(task_of(recorded), usage=all_of_it(recorded))

    def configure(self, site, program, more=""):
        """The same site, with the provider and the runtime that the program wants."""
        file = site.root / "swarm.toml"
        text = file.read_text().replace('kind = "openai"', f'kind = "{self.kind}"\nkey_env = "OPENAI_API_KEY"')
        if self.kind != "openai":
            text = text.replace('/v1"', '"')
        text = text.replace("local:writer", MODEL)
        text = text.replace("count = ", f'runtime = "{self.name}"\nanswer_wait_s = 0.5\ncount = ')
        file.write_text(f'{text}\n[runtimes.{self.name}]\nprogram = "{program}"\n{more}')


class Claude(Drive):
    """It is reminded once."""

    def run(self, command, **more):
        tool, argument = self.shell
        return Answer(calls=(Call(tool, {argument: command, "description": "as asked"}),), **more)

    def only_speaks(self, name):
        return [*super().only_speaks(name), say("As I said, all is well.")]


class Aider(Drive):
    """It has no tools: an answer that holds files is written, and the session ends."""

    works_in_turns = False

    def write(self, name, **more):
        return Answer(text=f"I write it.\n\n{name}.txt\n```\n{name}\n```\n", **more)

    def spends(self, recorded):
        """It is told that the file has no name."""
        return Answer(text="I write it.\n\n```\nno name\n```\n", usage=all_of_it(recorded))

    def lands(self, name):
        return [self.write(name)]

    def only_speaks(self, name):
        return [say("There is nothing that I would change.")]

    def fails(self, name):
        return [Refuse(400, "the model has no such thing")]


class Mini(Drive):
    def ends(self):
        return self.run("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", text="I did it.")

    def only_speaks(self, name):
        """It is told to use its tool, until it has been told so often enough."""
        return [self.write(name), *[say("I have finished, and all is well.")] * 3]


TOOL_ANSWER = {
    "responses": '"function_call_output"',
    "scripted:streamGenerateContent": '"functionResponse"',
    "messages": '"tool_result"',
    "completions": '"role": "tool"',
}
DRIVES = {
    drive.name: drive
    for drive in (
        Claude(
            "claude",
            "anthropic",
            ("Bash", "command"),
            "mcp__swarm__",
            budget="0.2",
            unsaid="it ended without a handoff, although it was reminded",
        ),
        Drive("codex", "openai", ("exec_command", "cmd"), "mcp__swarm/"),
        Drive("gemini", "google", ("run_shell_command", "command"), "mcp_swarm_"),
        Drive("opencode", "openai", ("bash", "command"), "swarm_"),
        Drive("qwen", "openai", ("run_shell_command", "command"), "mcp__swarm__"),
        Drive("pi", "openai", ("bash", "command"), None),
        Aider("aider", "openai", ("", ""), None),
        Mini("mini", "openai", ("bash", "command"), None),
    )
}


class Play:
    """Each task's answers in turn."""

    def __init__(self, answers):
        self._answers = answers
        self._turns = Counter()

    def __call__(self, recorded):
        task = task_of(recorded)
        turn = self._turns[task]
        self._turns[task] += 1
        answers = self._answers[task]
        return answers[turn] if turn < len(answers) else Refuse(418, "the script is over")


def task_of(recorded):
    """Which task a request is about: its prompt begins so."""
    return re.search(r"# Task ([a-z0-9-]+):", json.dumps(recorded.body))[1]


def all_of_it(recorded):
    """The usage of an answer that is as long as it may be."""
    body = recorded.body
    if "generationConfig" in body:
        most = body["generationConfig"]["maxOutputTokens"]
        return {"promptTokenCount": 1_000, "candidatesTokenCount": most, "totalTokenCount": 1_000 + most}
    if "max_output_tokens" in body:
        most = body["max_output_tokens"]
        return {"input_tokens": 1_000, "output_tokens": most, "total_tokens": 1_000 + most}
    most = body.get("max_completion_tokens") or body["max_tokens"]
    if recorded.path.partition("?")[0].endswith("/messages"):
        return {"input_tokens": 1_000, "output_tokens": most}
    return {"prompt_tokens": 1_000, "completion_tokens": most, "total_tokens": 1_000 + most}
