"""`python -m tests.service.gateway.faulty LOG SEED`: a provider of its own with every fault, by chance. Prints its address.

What it will bill for a request stands in LOG before a byte of the answer is sent: the truth that the ledger is held against.
"""

import asyncio
import json
import os
import random
import re
import sys

from tests.service.gateway.plant import RATE_IN, RATE_OUT
from tests.service.gateway.upstream import Answer, Upstream

MARK = re.compile(rb"mark-\d{3}-\d{5}")
CHUNKS = 9
"""Streams have no more events than that."""


class Faulty(Upstream):
    def __init__(self, log, seed):
        super().__init__()
        self._log, self._seed = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), seed

    async def _take(self, request):
        raw = await request.read()
        mark = MARK.search(raw).group().decode()
        answer = self._answer_to(mark, json.loads(raw))
        self.script = lambda _number, _body: answer
        cost = answer.prompt * RATE_IN + answer.completion * RATE_OUT if answer.billed else 0
        os.write(self._log, json.dumps({"mark": mark, "cost": cost}).encode() + b"\n")
        return await super()._take(request)

    def _answer_to(self, mark, body):
        rng = random.Random(f"{self._seed} {mark}")
        cap = body.get("max_tokens") or body.get("max_output_tokens") or body["generationConfig"]["maxOutputTokens"]
        at = rng.randrange(CHUNKS)
        faults = (
            {},
            {"cut_after": at},
            {"error_after": at},
            {"omit_usage": True},
            {"repeat_usage": True},
            {"late_usage": True},
            {"status": rng.choice((400, 401, 404, 429, 500, 503, 529))},
            {"body": rng.choice((b"", b"<html>", b"[]", b"{}", b"\xff"))},
            {"cut_json": True, "cut_after": at},
            {"hang": True},
            {"gate": asyncio.Event(), "gate_at": at},
        )
        [fault] = rng.choices(faults, weights=(8, *[2] * 8, 1, 1))
        return Answer(
            prompt=rng.choice((1, rng.randint(1, 1_000))),
            completion=rng.choice((0, cap, rng.randint(0, cap))),
            texts=tuple("abc"[: rng.randint(1, 3)]),
            headers={"request-id": mark},
            **fault,
        )


async def main(log, seed):
    async with Faulty(log, seed) as upstream:
        print(upstream.url, flush=True)  # noqa: T201 - the parent reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
