"""The rehearsal model asked to review a change: a rule, no judgement. What leaves a FIXME behind is rejected, all else passes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal.conversation import Answer

if TYPE_CHECKING:
    from swarmworks.provider.rehearsal.conversation import Conversation

HEADING = "# Review of one change"
_FILE = re.compile(r"^\+\+\+ b/(.+)$")
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)")


def answer(conversation: Conversation) -> Answer | None:
    """None when no review is asked for."""
    if not conversation.prompt.startswith(HEADING):
        return None
    findings = _left_to_do(conversation.prompt)
    verdict = "reject" if findings else "pass"
    summary = f"{len(findings)} FIXME left in the change" if findings else "Nothing in it is left to do."
    return Answer(json.dumps({"verdict": verdict, "summary": summary, "findings": findings}))


def _left_to_do(prompt: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    file, line = "", 0
    for text in prompt.splitlines():
        if name := _FILE.match(text):
            file = name.group(1)
        elif hunk := _HUNK.match(text):
            line = int(hunk.group(1)) - 1
        elif file and not text.startswith("-"):
            line += 1
            if text.startswith("+") and "FIXME" in text:
                found.append({"file": file, "line": line, "message": f"unfinished: {text[1:].strip()[:200]}"})
    return found
