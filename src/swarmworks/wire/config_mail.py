"""`[mail]` of swarm.toml: which agents may write to which. Nobody, unless it says so."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from swarmworks.domain.mail import EVERYBODY

ANY = "*"
Role = Annotated[str, Field(pattern=r"^(\*|[A-Za-z][A-Za-z0-9_-]{0,63})$")]
Pair = Annotated[tuple[Role, ...], Field(min_length=2, max_length=2)]


class MailSection(BaseModel):
    """`allow`: pairs of roles, of which the first may write to the second; `*` is any role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: Annotated[tuple[Pair, ...], Field(max_length=200)] = ()

    @field_validator("allow")
    @classmethod
    def _roles(cls, pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
        if any(EVERYBODY in pair for pair in pairs):
            raise ValueError(f"{EVERYBODY!r} is no role: write {ANY!r} for any")
        return pairs

    def concerns(self, role: str) -> bool:
        """Whether an agent of the role may write to anybody, or anybody to it."""
        return any({role, ANY} & set(pair) for pair in self.allow)

    def allows(self, sender: str, recipient: str) -> bool:
        return any(one in {sender, ANY} and other in {recipient, ANY} for one, other in self.allow)
