"""A model's look at a change: one bounded question through the gateway, charged to the task, and a verdict read from it.

The model's word is data: whatever cannot be read as a verdict is none. It is asked a second time once, and then left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import httpx
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swarmworks.base.errors import SwarmworksError
from swarmworks.git.protocol import FileChange, Hub
from swarmworks.policy.wording import breaks_drawn, plain
from swarmworks.wire.work import ReviewFinding, ReviewResult, ReviewWork
from swarmworks.worker.gateways import Gateways
from swarmworks.worker.prompt import fenced, one_line

log = logging.getLogger(__name__)

MOST_DIFF_BYTES = 96 << 10
MOST_ANSWER_TOKENS = 4_096
MOST_ANSWER_BYTES = 1 << 20
MOST_FINDINGS = 20
MOST_SUMMARY = 1_000
MOST_NAMED = 3
MOST_OBJECTS = 50
ANSWER_S = 300.0
TRIES = 2
_FENCED = re.compile(r"```(?:json)?[ \t]*\r?\n(?P<body>.*)\n[ \t]*```", re.DOTALL | re.IGNORECASE)
_THOUGHTS = re.compile(r"\s*<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_OBJECT = re.compile(r'\{\s*"')
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("prompts")),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 - a prompt, no page
    keep_trailing_newline=True,
)


class _Finding(BaseModel):
    model_config = ConfigDict(extra="ignore")
    file: str = ""
    line: int | None = None
    message: str = Field(min_length=1)


class _Verdict(BaseModel):
    model_config = ConfigDict(extra="ignore")
    verdict: str = Field(pattern="^(pass|reject)$")
    summary: str = ""
    findings: list[_Finding] = []


async def review(work: ReviewWork, hub: Hub, gateways: Gateways) -> ReviewResult:
    """Never fails: what keeps the model from answering is the summary of a result without a verdict."""
    try:
        diff = await asyncio.to_thread(hub.diff, work.base, work.head, limit_bytes=MOST_DIFF_BYTES)
        unread = _unread(diff, await asyncio.to_thread(hub.changes, work.base, work.head))
        result = await _asked(work, review_prompt(work, diff), gateways)
        return _of_a_part(result, unread) if unread and result.verdict == "pass" else result
    except (SwarmworksError, OSError) as error:
        return _none(f"the change could not be read: {error}")


def review_prompt(work: ReviewWork, diff: str) -> str:
    task = work.task
    return _TEMPLATES.get_template("review.txt.j2").render(
        question=one_line(work.question) or "May this change land?",
        title=one_line(task.title),
        kind=task.kind,
        instructions=fenced(task.instructions),
        acceptance=[one_line(each.statement) for each in task.acceptance],
        diff=fenced(breaks_drawn(diff), "diff"),
        cut=_cut(diff),
        shown_bytes=MOST_DIFF_BYTES,
    )


def _cut(diff: str) -> bool:
    return len(diff.encode()) >= MOST_DIFF_BYTES


def _unread(diff: str, changes: Sequence[FileChange]) -> str:
    """Why a model cannot have read the whole change, "" when it can."""
    if _cut(diff):
        return f"no objection to the first {MOST_DIFF_BYTES >> 10} KiB, which is all that was shown"
    binary = [one_line(change.path) for change in changes if change.added is None and change.status != "D"]
    if not binary:
        return ""
    more = f" and {len(binary) - MOST_NAMED} more" if len(binary) > MOST_NAMED else ""
    return f"no objection to the text, but binary files were not shown, {', '.join(binary[:MOST_NAMED])}{more}"


def _of_a_part(result: ReviewResult, why: str) -> ReviewResult:
    """Nothing that no one has read passes by a model's word."""
    return _none(f"{why}: {result.summary}" if result.summary else why)


def read_verdict(text: str) -> ReviewResult | None:
    """Of a JSON object that is the whole answer, fenced or not: one among words may be quoted from the change. A no is heard
    among words too, where it is the only verdict. Thoughts that a model puts before its answer are no part of it.
    """
    answer = text[thoughts.end() :] if (thoughts := _THOUGHTS.match(text)) else text
    fence = _FENCED.fullmatch(answer.strip())
    try:
        found = _verdict_of(json.loads(fence["body"] if fence else answer))
    except (ValueError, RecursionError):
        found = None
    verdict = found or _no_among_words(answer)
    if verdict is None:
        return None
    findings = tuple(
        ReviewFinding(file=plain(one.file, 500), line=max(0, one.line or 0), message=plain(one.message, 1_000) or "-")
        for one in verdict.findings[:MOST_FINDINGS]
    )
    said: Any = verdict.verdict
    return ReviewResult(verdict=said, summary=plain(verdict.summary, MOST_SUMMARY), findings=findings)


def _verdict_of(value: Any) -> _Verdict | None:
    try:
        return _Verdict.model_validate(value)
    except (ValidationError, RecursionError):
        return None


def _no_among_words(text: str) -> _Verdict | None:
    """The one verdict in the text, if it is a no. What is quoted within an object is a part of that object."""
    decoder, end, found = json.JSONDecoder(), 0, list[_Verdict]()
    for start in islice(_OBJECT.finditer(text), MOST_OBJECTS):
        if start.start() < end:
            continue
        try:
            value, end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        verdict = _verdict_of(value)
        found += [] if verdict is None else [verdict]
    return found[0] if len(found) == 1 and found[0].verdict == "reject" else None


async def _asked(work: ReviewWork, prompt: str, gateways: Gateways) -> ReviewResult:
    why = "no advice: the model's answer was no verdict"
    async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as http:
        for _ in range(TRIES):
            try:
                text = await _answer(http, gateways, work, prompt)
            except (httpx.HTTPError, ValueError) as error:
                why = f"no advice: the model could not be asked: {type(error).__name__}: {error}"
                break
            verdict = read_verdict(text)
            if verdict is not None:
                return verdict
    return _none(why)


async def _answer(http: httpx.AsyncClient, gateways: Gateways, work: ReviewWork, prompt: str) -> str:
    body: dict[str, Any] = {
        "model": work.model.partition(":")[2],
        "max_tokens": MOST_ANSWER_TOKENS,
        "messages": [{"role": "user", "content": prompt}],
    }
    if work.wire == "anthropic":
        headers = {"x-api-key": work.token, "anthropic-version": "2023-06-01"}
        answer = await _post(http, gateways, "/v1/messages", body, headers)
    else:
        headers = {"authorization": f"Bearer {work.token}"}
        answer = await _post(http, gateways, "/v1/chat/completions", body, headers)
    if not answer.is_success:
        raise ValueError(f"HTTP {answer.status_code}: {answer.text[:300]}")
    if len(answer.content) > MOST_ANSWER_BYTES:
        raise ValueError("the answer is too large")
    return _text(answer.json())


async def _post(
    http: httpx.AsyncClient, gateways: Gateways, path: str, body: dict[str, Any], headers: dict[str, str]
) -> httpx.Response:
    """Asked again at another gateway when the first went away: what it was charged for then is spent."""
    failure: httpx.TransportError = httpx.ConnectError("no gateway is known")
    for url in gateways.urls():
        try:
            return await http.post(url + path, json=body, headers=headers)
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            failure = error
    raise failure


def _text(body: Any) -> str:
    """What the model wrote, in either wire format; "" when there is none."""
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    try:
        if "choices" in fields:
            return str(fields["choices"][0]["message"]["content"] or "")
        return "".join(str(part.get("text", "")) for part in fields.get("content", ()))
    except (KeyError, IndexError, TypeError, AttributeError):
        return ""


def _none(why: str) -> ReviewResult:
    log.warning("a model's review: %s", why)
    return ReviewResult(verdict="none", summary=plain(why, MOST_SUMMARY))
