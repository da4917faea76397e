"""`[merge]` of swarm.toml: what becomes of conflicts in files for which the project has a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from swarmworks.policy.patterns import is_among

FROM_A_FILE = "from a file"
"""The context of a validation in which what has no effect is refused."""


def _path(entry: str, info: ValidationInfo) -> str:
    """Of a configuration that is stored already nothing is refused any more: what names no file has no effect."""
    odd = entry.startswith("/") or {".", ".."} & set(entry.split("/")) or "*" in entry
    if odd and info.context is FROM_A_FILE:
        raise ValueError(f"{entry!r} is no path from the root of the repository, and patterns are not read here")
    return entry


def _some(files: tuple[str, ...]) -> tuple[str, ...]:
    if not files:
        raise ValueError("it names no file")
    return files


Entry = Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(_path)]
"""A file, or with a trailing slash a folder and all in it."""


class RegenerateSection(BaseModel):
    """`files` are what `run`, a shell command, makes of the rest of the tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: Annotated[tuple[Entry, ...], Field(max_length=200), AfterValidator(_some)]
    run: Annotated[str, Field(min_length=1, max_length=4_000)]


class MergeSection(BaseModel):
    """`union`: files to which everybody only adds. Where two changes add at the same place, both additions are kept.
    `regenerate`: files that nobody writes. Where two changes conflict there, they are made anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    union: Annotated[tuple[Entry, ...], Field(max_length=200)] = ()
    regenerate: Annotated[tuple[RegenerateSection, ...], Field(max_length=50)] = ()

    @model_serializer(mode="wrap")
    def _what_is_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A worker or control plane that is older reads the configuration of whoever has no rule of the newer kind."""
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if name != "regenerate" or self.regenerate}

    @model_validator(mode="after")
    def _one_rule_each(self) -> MergeSection:
        twice = [one for one in self.union if is_among(one, self.generated)]
        twice += [one for one in self.generated if is_among(one, self.union)]
        if twice:
            raise ValueError(
                f"{twice[0]!r} is in union and in regenerate: either everybody adds to it, or it is made anew"
            )
        return self

    @property
    def generated(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(file for one in self.regenerate for file in one.files))

    def is_generated(self, path: str) -> bool:
        return is_among(path, self.generated)

    def commands(self, paths: Sequence[str]) -> tuple[str, ...]:
        """What makes these anew, as far as they are generated, in the order of the file."""
        return tuple(one.run for one in self.regenerate if any(is_among(path, one.files) for path in paths))


NO_RULES = MergeSection()
