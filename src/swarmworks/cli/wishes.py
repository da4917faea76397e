"""What the person asks for: a file that is there, or words; and words from a file of notes, a design, or a list of issues."""

from __future__ import annotations

import hashlib
from pathlib import Path

from swarmworks.base.errors import UsageError
from swarmworks.cli.options import sendable
from swarmworks.domain.plan import Source
from swarmworks.policy.planning.from_words import MOST_WORDS_BYTES, Wish
from swarmworks.wire.issues import parse_issues

DOCUMENTS = frozenset({".yaml", ".yml"})
TEXTS = frozenset({".md", ".markdown", ".txt", ".rst", ".json", ".toml"})
MOST_FILE_BYTES = 4 << 20
_END_WITH_A_STOP = "check the path; if these are words, end the sentence with a full stop"


def one_of(*ways: object) -> None:
    """UsageError unless exactly one thing says what is wanted."""
    given = sum(way is not None for way in ways)
    if given == 0:
        raise UsageError("what is wanted?", mend='name a file, or say it: "add a search to the list of books"')
    if given > 1:
        raise UsageError("more than one thing says what is wanted", mend="give words, or one file")


def wish_from(words: str | None, notes_file: Path | None, issues_file: Path | None) -> Wish:
    if notes_file is not None:
        return read_wish(notes_file, issues=False)
    if issues_file is not None:
        return read_wish(issues_file, issues=True)
    return wish_of(words or "")


def named_file(argument: str) -> Path | None:
    """The file that is meant, None for words. Words cost money to plan, so whatever could be a misspelt file is refused:
    UsageError for a name with a document's ending that is not there, and for a single word.
    """
    path = Path(argument)
    if _is_there(path):
        return path
    single = not any(letter.isspace() for letter in argument.strip())
    if path.suffix.lower() in DOCUMENTS or (single and (path.suffix.lower() in TEXTS or "/" in argument)):
        raise UsageError("there is no such file", where=argument, mend=_END_WITH_A_STOP)
    if single:
        mend = "name a file that is there, or say in a few words what is wanted, between quotes"
        raise UsageError("this is neither a file nor a sentence", where=argument or '""', mend=mend)
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.exists() and str(path) != "."
    except (OSError, ValueError):  # too long to be a name, or no name at all
        return False


def wish_of(words: str) -> Wish:
    words = sendable(words.strip())
    data = words.encode()
    if len(data) > MOST_WORDS_BYTES:
        raise _too_long("the words", len(data))
    return Wish(words, Source("text", "", hashlib.sha256(data).hexdigest()))


def read_wish(path: Path, *, issues: bool) -> Wish:
    """`issues`: the file is a list of issues, whatever it looks like; a JSON file always is one."""
    if path.suffix.lower() in DOCUMENTS:
        mend = "a specification or plan needs no model: swarm plan FILE or swarm run FILE"
        raise UsageError("words are read from Markdown, text or JSON", where=str(path), mend=mend)
    data = _read(path)
    text = data.decode("utf-8-sig", errors="replace").strip()
    if not text:
        raise UsageError("the file is empty", where=str(path), mend="say in it what is wanted")
    listed = issues or path.suffix.lower() == ".json" or text[:2] in {"[{", "[\n"}
    found = parse_issues(str(path), text) if listed else ()
    kind = "issues" if listed else "text"
    wish = Wish(text, Source(kind, path.as_posix(), hashlib.sha256(data).hexdigest()), found)
    if len(wish.words.encode()) > MOST_WORDS_BYTES:
        raise _too_long(str(path), len(wish.words.encode()))
    return wish


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), mend="check the path") from error
    if len(data) > MOST_FILE_BYTES:
        raise _too_long(str(path), len(data))
    return data


def _too_long(where: str, size: int) -> UsageError:
    return UsageError(
        f"{size >> 10} KiB are more than one plan is made of: at most {MOST_WORDS_BYTES >> 10} KiB",
        where=where,
        mend="ask for a part of it, or sum it up",
    )
