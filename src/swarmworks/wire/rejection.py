"""The wire form of a rejection: JSON in the store and the API, YAML in the next attempt's prompt.

Gates and git produce findings and logs of any size, so writing clips to the limits; reading refuses what exceeds them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.domain.rejection import LOG_TAIL_BYTES, RejectedFinding, Rejection, RejectionKind

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SUMMARY_CHARS = 1_000
MAX_FINDINGS = 50
MAX_GATE_CHARS = 100
MAX_FILE_CHARS = 500
MAX_MESSAGE_CHARS = 1_000
MAX_VALUE_CHARS = 1_000
MAX_NAME_CHARS = 200
MAX_BYTES = 1 << 20

_CONFLICT = f'{{"kind":"{RejectionKind.CONFLICT}"'

Value = Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARS)]
Name = Annotated[str, StringConstraints(max_length=MAX_NAME_CHARS)]


class FindingDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: Annotated[str, StringConstraints(max_length=MAX_GATE_CHARS)]
    file: Annotated[str, StringConstraints(max_length=MAX_FILE_CHARS)] = ""
    line: Annotated[int, Field(ge=0)] = 0
    message: Annotated[str, StringConstraints(max_length=MAX_MESSAGE_CHARS)]
    expected: Value = ""
    provided: Value = ""
    code: Annotated[str, StringConstraints(max_length=MAX_FILE_CHARS)] = ""


class RejectionDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: RejectionKind
    summary: Annotated[str, StringConstraints(max_length=MAX_SUMMARY_CHARS)]
    tree: Name = ""
    base: Name = ""
    attempts_left: Annotated[int, Field(ge=0)] = 0
    findings: Annotated[tuple[FindingDocument, ...], Field(max_length=MAX_FINDINGS)] = ()
    log_tail: Annotated[str, StringConstraints(max_length=LOG_TAIL_BYTES)] = ""
    conflicts: Annotated[int, Field(ge=0)] = 0
    resolves: Name = ""
    regenerates: bool = False

    def to_domain(self) -> Rejection:
        return Rejection(
            kind=self.kind,
            summary=self.summary,
            findings=tuple(RejectedFinding(**finding.model_dump()) for finding in self.findings),
            log_tail=self.log_tail,
            tree=self.tree,
            base=self.base,
            attempts_left=self.attempts_left,
            conflicts=self.conflicts,
            resolves=self.resolves,
            regenerates=self.regenerates,
        )

    @classmethod
    def from_domain(cls, rejection: Rejection) -> RejectionDocument:
        """Clipped to the limits; findings left out are counted in the summary."""
        left_out = len(rejection.findings) - MAX_FINDINGS
        more = f" (and {left_out} more findings)" if left_out > 0 else ""
        return cls(
            kind=rejection.kind,
            summary=_clip(rejection.summary, MAX_SUMMARY_CHARS - len(more)) + more,
            tree=_clip(rejection.tree, MAX_NAME_CHARS),
            base=_clip(rejection.base, MAX_NAME_CHARS),
            attempts_left=max(0, rejection.attempts_left),
            findings=tuple(_finding(finding) for finding in rejection.findings[:MAX_FINDINGS]),
            log_tail=tail(rejection.log_tail, LOG_TAIL_BYTES),
            conflicts=max(0, rejection.conflicts),
            resolves=_clip(rejection.resolves, MAX_NAME_CHARS),
            regenerates=rejection.regenerates,
        )


def _finding(finding: RejectedFinding) -> FindingDocument:
    return FindingDocument(
        gate=_clip(finding.gate, MAX_GATE_CHARS),
        file=_clip(finding.file, MAX_FILE_CHARS),
        line=max(0, finding.line),
        message=_clip(finding.message, MAX_MESSAGE_CHARS),
        expected=_clip(finding.expected, MAX_VALUE_CHARS),
        provided=_clip(finding.provided, MAX_VALUE_CHARS),
        code=_clip(finding.code, MAX_FILE_CHARS),
    )


def parse(text: str | bytes) -> Rejection:
    """InvalidDocumentError names every field that is wrong."""
    if len(text) > MAX_BYTES:
        raise InvalidDocumentError("rejection", [Problem(0, f"larger than {MAX_BYTES} bytes")])
    try:
        return RejectionDocument.model_validate_json(text).to_domain()
    except ValidationError as error:
        problems = [
            Problem(0, f"{'.'.join(map(str, row['loc'])) or 'document'}: {row['msg']}") for row in error.errors()
        ]
        raise InvalidDocumentError("rejection", problems) from error


def is_conflict(text: str) -> bool:
    """Of a stored rejection, without reading the rest of it: asked of everything that waits in the merge queue."""
    return text.startswith(_CONFLICT)


def for_its_agent(text: str | None) -> str | None:
    """Of a stored rejection whose conflict would be settled without an agent: the same, for the agent. None of any other."""
    told = None if text is None else parse(text)
    return dump(replace(told, regenerates=False)) if told is not None and told.regenerates else None


def dump(rejection: Rejection) -> str:
    """JSON text, clipped to the limits."""
    return RejectionDocument.from_domain(rejection).model_dump_json(exclude_defaults=True)


def as_yaml(rejection: Rejection) -> str:
    """What the next attempt reads: kind, summary, attempts_left, findings, log_tail; empty fields are left out."""
    shown = RejectionDocument.from_domain(rejection).model_dump(
        mode="json", exclude={"tree", "base", "conflicts", "resolves", "regenerates"}
    )
    shown["findings"] = [_without_empty(finding) for finding in shown["findings"]]
    return yaml.dump(_without_empty(shown), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def tail(text: str, limit_bytes: int) -> str:
    """The last `limit_bytes` of UTF-8, begun at a character and with lone surrogates replaced."""
    return text.encode("utf-8", "replace")[-limit_bytes:].decode("utf-8", "ignore")


def _clip(text: str, limit: int) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _without_empty(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in ("", 0, [], ()) or name == "attempts_left"}


class _Dumper(yaml.SafeDumper):
    """Several lines as a literal block, which is how people and models read a log."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _represent_text)
