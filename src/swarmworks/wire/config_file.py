"""From the text of `swarm.toml` to a `SwarmConfig`, or to every problem in it at once, each with its line and mend."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_merge import FROM_A_FILE
from swarmworks.wire.config_notify import CHANNEL_SECTIONS, SECRET_KEYS
from swarmworks.wire.config_review import ReviewGateSection
from swarmworks.wire.toml_lines import key_lines, line_of

MAX_BYTES = 1 << 20
_MUST_BE = {
    "tuple_type": 'must be a list, such as ["one", "two"]',
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "string_type": "must be text between quotes",
}
"""The library's own words are about Python."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_POSITION = re.compile(r"\s*\(at line (\d+), column \d+\)$")

Table = dict[str, Any]
Location = tuple[str, ...]


def load_config(text: str, *, name: str, environment: Mapping[str, str], profile: str | None = None) -> SwarmConfig:
    """Read `text` (the file `name`, for messages). `${VAR}` in a value is taken from `environment`; shell commands
    (`environment.setup`, `gates.*.run`) are left alone, since there the shell reads it. `profile` selects a table of
    `[profiles]`, whose keys win; profiles that are not selected are checked too.

    Raises InvalidDocumentError.
    """
    raw = _parse(text, name)
    lines = key_lines(text)
    problems: list[Problem] = []
    profiles = _take_profiles(raw, problems, lines)
    if profile is not None and profile not in profiles:
        near = _did_you_mean(profile, profiles)
        raise InvalidDocumentError(
            name, [Problem(0, f"there is no profile {profile!r}", near or "add it, or name another")]
        )
    raw = cast("Table", _expand(raw, environment, (), lines, problems))
    config = _validate(raw, (), lines, problems)
    for label in profiles:
        overrides = cast("Table", _expand(profiles[label], environment, ("profiles", label), lines, problems))
        found: list[Problem] = []
        with_profile = _validate(_merged(raw, overrides), ("profiles", label), lines, found)
        known = {(problem.line, problem.what) for problem in problems}
        problems.extend(problem for problem in found if (problem.line, problem.what) not in known)
        if label == profile:
            config = with_profile
    if problems or config is None:
        raise InvalidDocumentError(name, problems)
    return config


def _parse(text: str, name: str) -> Table:
    if len(text) > MAX_BYTES:
        raise InvalidDocumentError(
            name, [Problem(0, f"the file is larger than {MAX_BYTES} bytes", "keep it to configuration")]
        )
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        position = _POSITION.search(str(error))
        line = int(position.group(1)) if position else len(text.splitlines())
        what = f"not valid TOML: {_POSITION.sub('', str(error))}"
        raise InvalidDocumentError(name, [Problem(line, what, "see https://toml.io for the syntax")]) from None


def _take_profiles(raw: Table, problems: list[Problem], lines: dict[Location, int]) -> dict[str, Table]:
    found: Any = raw.pop("profiles", {})
    if not isinstance(found, dict):
        problems.append(Problem(line_of(lines, ("profiles",)), "profiles must be tables", "write [profiles.NAME]"))
        return {}
    profiles: dict[str, Table] = {}
    for label, overrides in cast("Table", found).items():
        if isinstance(overrides, dict):
            profiles[label] = cast("Table", overrides)
        else:
            what = f"profile {label!r} must be a table"
            problems.append(Problem(line_of(lines, ("profiles", label)), what, f"write [profiles.{label}]"))
    return profiles


def _expand(
    value: Any, environment: Mapping[str, str], at: Location, lines: dict[Location, int], problems: list[Problem]
) -> Any:
    if isinstance(value, dict):
        return {k: _expand(v, environment, (*at, k), lines, problems) for k, v in cast("Table", value).items()}
    if isinstance(value, list):
        return [_expand(item, environment, at, lines, problems) for item in cast("list[Any]", value)]
    if not isinstance(value, str) or _for_a_shell(at):
        return value

    def replaced(match: re.Match[str]) -> str:
        variable = match.group(1)
        if variable not in environment:
            what = f"the environment variable {variable} is not set"
            problems.append(Problem(line_of(lines, at), what, f"export {variable}, or write the value"))
            return match.group(0)
        return environment[variable]

    return _REFERENCE.sub(replaced, value)


def _for_a_shell(at: Location) -> bool:
    """Commands read variables themselves, when they run: those of a notice are not even there before."""
    gated = at[-1:] in {("run",), ("run_on_change",)} and "gates" in at
    runs = gated or at[-3:] == ("merge", "regenerate", "run")
    return runs or at[-2:] == ("environment", "setup") or at[-3:] == ("notify", "channels", "argv")


def _merged(base: Table, overrides: Table) -> Table:
    merged = dict(base)
    for key, value in overrides.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merged(cast("Table", below), cast("Table", value))
        else:
            merged[key] = value
    return merged


def _validate(raw: Table, prefix: Location, lines: dict[Location, int], problems: list[Problem]) -> SwarmConfig | None:
    """The configuration, or None with its problems added; lines are sought under `prefix` first."""
    try:
        sorted_out = _with_gates_sorted(raw, prefix, lines, problems)
        with_reviews = _with_reviews_sorted(sorted_out, prefix, lines, problems)
        return SwarmConfig.model_validate(with_reviews, context=FROM_A_FILE)
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_context=False):
            named = tuple(str(part) for part in entry["loc"])
            location = _as_written(named)
            number = lines.get((*prefix, *location)) or line_of(lines, location) or line_of(lines, prefix)
            problems.append(_problem(entry["type"], entry["msg"], location, number, _keys_at(named[:-1])))
        return None


def _with_gates_sorted(raw: Table, prefix: Location, lines: dict[Location, int], problems: list[Problem]) -> Table:
    """`[gates.required]` and the gates share one table in the file; in the schema each has its own."""
    gates = raw.get("gates")
    if gates == "none":
        return {**raw, "gates": {"explicitly_none": True}}
    if not isinstance(gates, dict) or not gates:
        line = line_of(lines, (*prefix, "gates"))
        problems.append(
            Problem(
                line,
                "no gates are configured",
                'add [gates.NAME] tables, or write gates = "none" to land unchecked work',
            )
        )
        return {**raw, "gates": {}}
    commands = {key: value for key, value in cast("Table", gates).items() if key != "required"}
    return {**raw, "gates": {"commands": commands, "required": cast("Table", gates).get("required", {})}}


def _with_reviews_sorted(raw: Table, prefix: Location, lines: dict[Location, int], problems: list[Problem]) -> Table:
    """A list of tables in the file, or the written word that there is none; the schema has a place for each."""
    if "review" not in raw:
        return raw
    reviews: Any = raw["review"]
    if reviews == "none":
        return {**raw, "review": {"explicitly_none": True}}
    if isinstance(reviews, list) and reviews:
        return {**raw, "review": {"gates": reviews}}
    line = line_of(lines, (*prefix, "review"))
    mend = 'write [[review]] for each gate, or review = "none" to have nobody asked'
    problems.append(Problem(line, "review is no list of gates", mend))
    return {key: value for key, value in raw.items() if key != "review"}


def _as_written(location: Location) -> Location:
    """The path a person wrote, from the schema's."""
    if location[:2] == ("review", "gates"):
        return ("review", *location[2:])
    if location[:2] == ("gates", "commands"):
        return ("gates", *location[2:])
    if location[:2] == ("notify", "channels"):
        return (*location[:3], *location[4:])  # the fourth is the kind, which chose among the schemas
    return tuple(part for part in location if part != "[key]")


def _problem(kind: str, message: str, location: Location, line: int, known: set[str]) -> Problem:
    """`known` are the keys that may stand where the problem is."""
    key = ".".join(part for part in location if not part.isdecimal()) or "the file"
    if kind == "extra_forbidden":
        mend = _did_you_mean(location[-1], known) or f"known here: {', '.join(sorted(known))}"
        if location[0] == "providers" and location[-1] in {"key", "api_key", "token"}:
            mend = 'name what holds the key: key_env = "VARIABLE", key_file = "PATH" or key_secret = "NAME"'
        secret = SECRET_KEYS.get(location[-1], "")
        if location[:2] == ("notify", "channels") and f"{secret}_env" in known:
            mend = f'name what holds it: {secret}_env = "VARIABLE" or {secret}_file = "PATH"'
        return Problem(line, f"unknown key {key}", mend)
    if kind == "missing":
        return Problem(line, f"{key} is missing", f"add {location[-1]}")
    if kind.startswith("union_tag"):
        what = "has no kind" if kind == "union_tag_not_found" else "is of an unknown kind"
        return Problem(line, f"{key} {what}", f"write kind as one of {', '.join(CHANNEL_SECTIONS)}")
    reason = _MUST_BE.get(kind) or message.removeprefix("Value error, ")
    page = "reviews" if location[:1] == ("review",) else "configuration"
    return Problem(line, f"{key}: {reason[:1].lower()}{reason[1:]}", f"see docs/{page}.md")


def _keys_at(location: Location) -> set[str]:
    """The keys the schema knows at one of its paths."""
    model: type[BaseModel] = SwarmConfig
    if location[:1] == ("review",):
        return set(ReviewGateSection.model_fields)
    if location[:2] == ("notify", "channels") and len(location) == 4:
        model, location = CHANNEL_SECTIONS[location[3]], ()
    for part in location:
        field = model.model_fields.get(part)
        if field is None:
            continue  # the name a person chose for a provider, a price or a gate
        candidates = [field.annotation, *get_args(field.annotation)]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), model)
    keys = {field.alias or name for name, field in model.model_fields.items()}
    return keys | ({"profiles"} if model is SwarmConfig else set())


def _did_you_mean(word: str, known: Mapping[str, object] | set[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""
