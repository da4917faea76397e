"""A plan for making a plan: the one task whose agent reads the repository and writes what somebody asked for as a plan file.

Words and issues come from anywhere. They are put before the agent as data between fences that nothing in them can close.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, cast

import jinja2
import yaml

from swarmworks.base.ids import TaskId
from swarmworks.domain.plan import PLAN, PLAN_FILE, PLAN_GATE, Acceptance, Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.policy.planning.fit import PROVES_NOTHING
from swarmworks.policy.wording import fenced, title

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_WORDS_BYTES = 48 << 10
"""Of what is asked for. The prompt has to hold it whole: a request that is cut is another request."""

MOST_ROWS = 80
MOST_SHOWN_FILES = 12
NAME_LETTERS = 60
ROLE = "planner"
ESTIMATE = Estimate(150_000, 5.0)


@dataclass(frozen=True, slots=True)
class Issue:
    number: int
    title: str
    body: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants, and where it was read. `issues` where the source is a list of them."""

    text: str
    source: Source
    issues: tuple[Issue, ...] = ()

    @property
    def words(self) -> str:
        return "\n\n".join(_issue_text(each) for each in self.issues) if self.issues else self.text


@dataclass(frozen=True, slots=True)
class GateFact:
    name: str
    run: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the planning agent is told of the repository before it looks. `tests` names the gate that runs the tests."""

    language: str
    framework: str
    files: tuple[str, ...]
    gates: tuple[GateFact, ...]
    protected: tuple[str, ...] = ()

    @property
    def tests(self) -> str:
        return next((each.name for each in self.gates if "test" in each.name), "")


def planning_plan(wish: Wish, facts: Facts) -> Plan:
    proof = Acceptance(f"`{PLAN_FILE}` is a plan that this repository can carry out", PLAN_GATE)
    own = tuple(each.name for each in facts.gates if each.name not in PROVES_NOTHING)
    task = PlannedTask(
        id=TaskId(PLAN),
        kind=PLAN,
        title=f"Plan: {_name(wish)}",
        role=ROLE,
        instructions=_instructions(wish, facts),
        output=f"The file `{PLAN_FILE}`, and nothing else.",
        owns=(PLAN_FILE,),
        contracts=(f"`{PLAN_FILE}` in the format `1` of plan files",),
        acceptance=(proof,),
        gates=("scope", "secrets", PLAN_GATE),
        not_required=dict.fromkeys(own, "a plan is judged as a plan: nothing of the project's code changes"),
        specification=yaml.safe_dump({"issues": [each.number for each in wish.issues]}) if wish.issues else "",
        estimate=ESTIMATE,
    )
    stack = Stack(facts.language, facts.framework)
    name = f"Plan: {_name(wish)}"
    return Plan(f"planning-{wish.source.sha256[:12]}", name, "Makes a plan", stack, wish.source, (task,))


def layout(files: Sequence[str]) -> str:
    """The folders with their files, widest first view: a folder of many shows how many and of what kind."""
    by_folder: dict[str, list[str]] = {}
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        by_folder.setdefault(folder, []).append(name)
    folders = sorted(by_folder, key=lambda folder: (folder.count("/") if folder else -1, folder))
    rows = [f"{folder or '.'}/: {_names(by_folder[folder])}" for folder in folders[:MOST_ROWS]]
    if len(folders) > MOST_ROWS:
        rows.append(f"... and {len(folders) - MOST_ROWS} more folders")
    return "\n".join(rows)


def _names(names: Sequence[str]) -> str:
    if len(names) <= MOST_SHOWN_FILES:
        return ", ".join(names)
    kinds = Counter(f"*.{name.rpartition('.')[2]}" if "." in name[1:] else name for name in names)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return f"{', '.join(names[:MOST_SHOWN_FILES])}, ... ({len(names)} files: {counted})"


def _instructions(wish: Wish, facts: Facts) -> str:
    gates = [each for each in facts.gates if each.name not in PROVES_NOTHING]
    example = facts.tests or (gates[0].name if gates else "scope")
    return _template().render(
        plan_file=PLAN_FILE,
        kind=wish.source.kind,
        words=wish.words,
        language=facts.language,
        framework=facts.framework,
        gates=facts.gates,
        protected=facts.protected,
        file_count=len(facts.files),
        layout=layout(facts.files),
        tests=facts.tests,
        example_gate=example,
        example_gates=[each.name for each in facts.gates],
    )


def _name(wish: Wish) -> str:
    if wish.issues:
        return title(f"{len(wish.issues)} issue{'' if len(wish.issues) == 1 else 's'} of {wish.source.path}")
    words = next((line.strip("# \t") for line in wish.text.splitlines() if line.strip("# \t")), "")
    shown = (
        words if len(words) <= NAME_LETTERS else f"{words[:NAME_LETTERS].rpartition(' ')[0] or words[:NAME_LETTERS]}..."
    )
    return title(shown)


def _issue_text(issue: Issue) -> str:
    labels = f" [{', '.join(issue.labels)}]" if issue.labels else ""
    return f"#{issue.number} {issue.title}{labels}\n{issue.body.strip()}".strip()


@cache
def _template() -> jinja2.Template:
    text = resources.files("swarmworks.policy.planning").joinpath("texts", "from_words.md.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=False, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - for a model
    environment.undefined = jinja2.StrictUndefined
    filters = cast("dict[str, Callable[[str], str]]", environment.filters)  # pyright: ignore[reportUnknownMemberType]
    filters["fenced"] = fenced
    return environment.from_string(text)
