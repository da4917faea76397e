"""The rehearsal model's turns: look, write, check, repair, hand in. A function of the request alone.

Every turn replays the transcript to see how far the task is; nothing is kept between requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import checks, mistakes, prompt, sharing
from swarmworks.provider.rehearsal.build.rendering import Renderer
from swarmworks.provider.rehearsal.conversation import Answer, ToolCall
from swarmworks.provider.rehearsal.faults import Fault
from swarmworks.provider.rehearsal.work import CannotError, Work, wanted_files, work_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swarmworks.provider.rehearsal.conversation import Conversation, Exchange
    from swarmworks.provider.rehearsal.faults import Behaviour
    from swarmworks.provider.rehearsal.mistakes import Made
    from swarmworks.provider.rehearsal.prompt import Brief

NEEDED_TOOLS = frozenset({"list_files", "read_file", "write_file", "run_command", "hand_in"})
MAX_TURNS = 24
MAX_TRIES_PER_FILE = 3
MAX_REPAIRS = 2
MAX_MEASUREMENTS = 2
CHECK_TIMEOUT_S = 300

HAND_OVER = "outcome handed_off"
"""How the platform's words end a session whose context is used up."""

TAKE_OVER = "take_over"
MAX_TAKE_OVERS = 2

Step = tuple[str, list[tuple[str, dict[str, object]]]]


@dataclass(frozen=True, slots=True)
class Coder:
    """Answers requests. `renderer` holds the compiled templates, the only thing worth keeping between requests."""

    renderer: Renderer = field(default_factory=Renderer)

    def answer(self, conversation: Conversation, behaviour: Behaviour) -> tuple[Answer, tuple[Made, ...]]:
        """The answer, and the faults in the files that it writes."""
        try:
            (text, calls), made = self._step(conversation, behaviour)
        except CannotError as cannot:
            return Answer(f"cannot: {cannot}"), ()
        turn = conversation.turns + 1
        numbered = [ToolCall(f"call_{turn}_{i}", name, arguments) for i, (name, arguments) in enumerate(calls, 1)]
        return Answer(text, tuple(numbered)), made

    def _step(self, conversation: Conversation, behaviour: Behaviour) -> tuple[Step, tuple[Made, ...]]:
        brief = prompt.parse(conversation.prompt)
        if brief is None:
            raise CannotError(
                "the rehearsal model follows rules and does only tasks in the format of a Swarmworks plan; this is not one"
            )
        if missing := NEEDED_TOOLS - conversation.tools:
            raise CannotError(f"the rehearsal model needs the tools {', '.join(sorted(missing))}")
        if conversation.turns >= MAX_TURNS:
            raise CannotError(f"the task is not finished after {MAX_TURNS} turns")
        session = Session(brief, conversation.exchanges)
        if session.refused_hand_in:
            raise CannotError(f"the hand-in was refused: {session.refused_hand_in}")
        if any(HAND_OVER in words for words in conversation.said):
            return _hand_over(session), ()
        if TAKE_OVER in conversation.tools and not session.took_over:
            return _take_over(session), ()
        if not session.looked:
            return _look(brief), ()
        work = work_for(self.renderer, brief, session.files)
        files, mistake = mistakes.err(behaviour, work.files, brief.rejection)
        shared, clash = sharing.described(behaviour, brief, session.files)
        dropped = sharing.left_out(brief, session.files, shared)
        work = replace(work, files={**files, **shared}, dropped=dropped)
        made = tuple(each for each in (mistake, clash) if each is not None)
        if work.floor is None and (missing := session.unwritten(work.files)):
            return _write(work, missing, made), made
        return self._checked(session, work), ()

    def _checked(self, session: Session, work: Work) -> Step:
        if work.floor is not None:
            return _prove(session, work.floor)
        results = session.results_since_write
        commands = checks.commands(work, session.listed)
        for command in commands[len(results) :]:
            return "Checking what I wrote.", [_run(command)]
        repairs = checks.repairs(results, work.files)
        if repairs and session.repairs < MAX_REPAIRS:
            return "Repairing what the check found.", [
                ("write_file", {"path": path, "content": text}) for path, text in repairs.items()
            ]
        return "Handing in.", [("hand_in", _handoff(session.brief, work, results))]


@dataclass(frozen=True, slots=True)
class Session:
    """The transcript of one task, read."""

    brief: Brief
    exchanges: Sequence[Exchange]

    @property
    def looked(self) -> bool:
        return any(each.call.name == "list_files" for each in self.exchanges)

    @property
    def listed(self) -> frozenset[str]:
        answers = [each.answer or "" for each in self.exchanges if each.call.name == "list_files"]
        return frozenset(line.strip() for answer in answers for line in answer.splitlines())

    @property
    def files(self) -> Mapping[str, str]:
        """Every file whose text is known: from the prompt, or read since."""
        found = dict(self.brief.files)
        for each in self.exchanges:
            if each.call.name == "read_file" and each.answer and not each.answer.startswith("error:"):
                found[each.call.text("path")] = each.answer
        return found

    @property
    def took_over(self) -> bool:
        tries = [each for each in self.exchanges if each.call.name == TAKE_OVER]
        if len(tries) >= MAX_TAKE_OVERS and (tries[-1].answer or "").startswith("error:"):
            raise CannotError(f"the task could not be taken over: {tries[-1].answer}")
        return any(not (each.answer or "error:").startswith("error:") for each in tries)

    @property
    def written(self) -> list[str]:
        """What this session wrote, and the one before it."""
        wrote = [
            each.call.text("path")
            for each in self.exchanges
            if each.call.name == "write_file" and not (each.answer or "error:").startswith("error:")
        ]
        return list(dict.fromkeys([*self.brief.done, *wrote]))

    @property
    def refused_hand_in(self) -> str:
        last = self.exchanges[-1] if self.exchanges else None
        return last.answer or "" if last and last.call.name == "hand_in" and last.answer else ""

    @property
    def repairs(self) -> int:
        """How often a file was written again after a check."""
        checked = False
        count = 0
        for each in self.exchanges:
            if each.call.name == "run_command":
                checked = True
            elif each.call.name == "write_file" and checked:
                count += 1
                checked = False
        return count

    @property
    def results_since_write(self) -> list[checks.Result]:
        """What each check since the last change answered."""
        found: list[checks.Result] = []
        for each in self.exchanges:
            if each.call.name == "write_file":
                found = []
            elif each.call.name == "run_command" and each.answer is not None:
                found.append(checks.Result(each.call.text("command"), each.answer))
        return found

    def unwritten(self, files: Mapping[str, str]) -> list[str]:
        """Files that no tool call has written yet. A tool that keeps refusing ends the task."""
        tries: dict[str, int] = {}
        written = set(self.brief.done)
        complaint = ""
        for each in self.exchanges:
            if each.call.name == "write_file":
                path = each.call.text("path")
                tries[path] = tries.get(path, 0) + 1
                if (each.answer or "").startswith("error:"):
                    complaint = each.answer or ""
                else:
                    written.add(path)
        missing = [path for path in files if path not in written]
        if any(tries.get(path, 0) >= MAX_TRIES_PER_FILE for path in missing):
            raise CannotError(f"a file could not be written: {complaint}")
        return missing


def _look(brief: Brief) -> Step:
    reads: list[tuple[str, dict[str, object]]] = [("read_file", {"path": path}) for path in wanted_files(brief)]
    return f"Looking around before {brief.title.rstrip('.')}.", [("list_files", {"path": "."}), *reads]


def _take_over(session: Session) -> Step:
    brief = session.brief
    left = f"{len(session.written)} files are written; check them and hand in" if session.written else "all of it"
    return "Taking over.", [(TAKE_OVER, {"task": brief.task_id, "owns": list(brief.owns), "left": left})]


def _hand_over(session: Session) -> Step:
    handoff: dict[str, object] = {
        "outcome": "handed_off",
        "done": f"{len(session.written)} files are written; nothing is handed in.",
        "changed": [{"path": path, "what": "written as the specification says"} for path in session.written],
        "notes": ["Left: write what is missing, check it, hand in."],
        "risks": ["Unfinished: the checks have not all run."],
    }
    return "Handing over.", [("hand_in", handoff)]


def _write(work: Work, paths: list[str], made: tuple[Made, ...]) -> Step:
    """What is not the task's comes first: a command after the last file written would count as a check of it."""
    stray = [_run(mistakes.stray_command()) for each in made if each.fault is Fault.SCOPE]
    writes: list[tuple[str, dict[str, object]]] = [
        ("write_file", {"path": path, "content": work.files[path]}) for path in paths
    ]
    return "Writing the files.", [*stray, *writes]


def _run(command: str) -> tuple[str, dict[str, object]]:
    return "run_command", {"command": command, "timeout_s": CHECK_TIMEOUT_S}


def _prove(session: Session, floor: float) -> Step:
    """Nothing to write: measure, and say what was found."""
    results = session.results_since_write
    if not results:
        return "Measuring the whole.", [_run(checks.COVERAGE_COMMAND)]
    percent, failure = checks.coverage_of(results[-1])
    if failure and len(results) < MAX_MEASUREMENTS:
        return "Measuring again, to see whether the failure repeats.", [_run(checks.COVERAGE_COMMAND)]
    if failure:
        raise CannotError(failure)
    if percent is not None and percent < floor:
        raise CannotError(
            f"the tests cover {percent:g} %, below the floor of {floor:g} %; which tests to add is not known"
        )
    measured = f"{percent:g} %" if percent is not None else "not measured here: coverage is not installed"
    risks: list[str] = [] if percent is not None else ["the coverage gate has to measure it"]
    handoff: dict[str, object] = {
        "outcome": "nothing_to_do",
        "done": f"All tests pass; coverage {measured}, floor {floor:g} %.",
        "changed": list[str](),
        "notes": list[str](),
        "risks": risks,
    }
    return "Handing in.", [("hand_in", handoff)]


def _handoff(brief: Brief, work: Work, results: Sequence[checks.Result]) -> dict[str, object]:
    risks = [*work.risks, *checks.complaints(results)]
    notes = list(work.notes)
    if brief.rejection is not None:
        notes.append(
            f"attempt {brief.attempt}: written again from the specification after: {brief.rejection.summary}"[:480]
        )
    return {
        "outcome": "submitted",
        "done": work.done,
        "changed": [{"path": path, "what": what_of(path, text)} for path, text in work.files.items()],
        "notes": notes[:20],
        "risks": [risk[:480] for risk in risks[:20]],
        **({"dropped": [dict(row) for row in work.dropped]} if work.dropped else {}),
    }


def what_of(path: str, text: str) -> str:
    """The first line of a module says what it is."""
    first = text.partition("\n")[0].strip('"# ').rstrip(".")
    return first[:280] or f"marks {path.rpartition('/')[0]} as a package"
