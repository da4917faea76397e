"""A provider that takes part in a small task: it asks for a tool until it is told the number it wants, then says it."""

import json

from tests.service.gateway.upstream import Answer

ROUNDS = 3
RESULT = "the number is 42"


def tools_then_answer(_number, body):
    """A tool is asked for as long as its results in the request are fewer than ROUNDS."""
    if json.dumps(body).count(RESULT) < ROUNDS:
        return Answer(tool=True, completion=50)
    return Answer(texts=("it is", " 42"), completion=50)


def always_a_tool(_number, _body):
    """An agent that never comes to an end by itself."""
    return Answer(tool=True, completion=50)
