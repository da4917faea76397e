"""A model that plans and builds by a script: an OpenAI-compatible server on loopback. It reads what it is told to do from
the prompt, as a real one would, and takes the steps of that task one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.scenario.writing_model import WritingModel, _text

Step = tuple[str, dict]


class ScriptedWorker(WritingModel):
    """`script(task_id, attempt, prompt)` gives the steps of a session: tool calls, the last of them `hand_in`."""

    def __init__(self, script: Callable[[str, int, str], list[Step]]) -> None:
        self._script = script
        self.prompts: dict[str, list[str]] = {}
        super().__init__()
        self._server.handle_error = lambda *_: None

    def answer(self, body: dict) -> dict:
        messages = body["messages"]
        prompt = next(_text(message) for message in messages if message["role"] == "user")
        task = prompt.partition("\n")[0].removeprefix("# Task ").partition(":")[0]
        attempt = int(prompt.partition("\nAttempt: ")[2].partition(" ")[0])
        done = sum(1 for message in messages if message["role"] == "tool")
        if done == 0:
            self.prompts.setdefault(task, []).append(prompt)
        steps = self._script(task, attempt, prompt)
        tool, arguments = steps[min(done, len(steps) - 1)]
        function = {"name": tool, "arguments": json.dumps(arguments)}
        call = {"id": f"call_{done}", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        }
