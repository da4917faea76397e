"""`python -m tests.service.gateway.caller`, told on stdin: a client of its own with several sessions, some calls slow, some
left in the middle. Writes a line to its log for every call that ended: what the gateway said to it.
"""

import asyncio
import contextlib
import json
import os
import random
import sys

import aiohttp

from tests.service.gateway.plant import path_of, worded

AGAIN = 3
"""How often a call that was refused for good is made again: each must be refused as well."""
PATIENCE = 20
"""So many times the calls it should make, until the budget is reached."""
LOST_S = 4


class Caller:
    def __init__(self, told):
        self._told, self._number = told, told["number"]
        self._rng = random.Random(f"{told['seed']} {self._number}")
        self._log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._made = 0

    async def run(self):
        async with aiohttp.ClientSession() as self._http, asyncio.TaskGroup() as group:
            for kind, token in self._told["sessions"]:
                for _ in range(2):
                    group.create_task(self._session(kind, token))

    async def _session(self, kind, token):
        for number in range(PATIENCE * self._told["calls"]):
            cap, stream = self._rng.randint(1, 200), self._rng.random() < 0.7
            code = await self._call(kind, token, cap, stream=stream, after_refusal=False)
            for _ in range(AGAIN if code == "budget_exceeded" else 0):
                await self._call(kind, token, cap, stream=stream, after_refusal=True)
            if code == "budget_exceeded" and number >= self._told["calls"]:
                return

    async def _call(self, kind, token, cap, *, stream, after_refusal):
        self._made += 1
        mark = f"mark-{self._number:03}-{self._made:05}"
        body = worded(kind, {"max_tokens": cap, "stream": stream})
        data = json.dumps(body).replace("hello", mark).encode()
        url = self._rng.choice(self._told["urls"]) + path_of(kind, {"stream": stream})
        status = code = None
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(LOST_S):
                status, code = await self._ask(url, token, data)
        line = {"mark": mark, "status": status, "code": code, "after_refusal": after_refusal}
        os.write(self._log, json.dumps(line).encode() + b"\n")
        return code

    async def _ask(self, url, token, data):
        manner = self._rng.choices(("reads", "slow", "leaves early", "leaves"), weights=(6, 1, 1, 1))[0]
        if manner == "leaves early":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rng.uniform(0, 0.02)):
                    async with self._http.post(url, data=data, headers={"x-api-key": token}) as response:
                        await response.read()
            return None, None
        async with self._http.post(url, data=data, headers={"x-api-key": token}) as response:
            if manner == "leaves" and response.status == 200:
                await response.content.read(1)
                response.close()
                return response.status, None
            if manner == "slow":
                while await response.content.read(16):  # noqa: ASYNC110 - a turn of the loop between two sips
                    await asyncio.sleep(0)
                return response.status, None
            return response.status, code_of(await response.read()) if response.status != 200 else None


def code_of(body):
    with contextlib.suppress(ValueError):
        error = json.loads(body)["error"]
        return error.get("code") if isinstance(error.get("code"), str) else error.get("details", [{}])[0].get("reason")
    return None


if __name__ == "__main__":
    asyncio.run(Caller(json.load(sys.stdin)).run())
