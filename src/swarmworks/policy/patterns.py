"""Path patterns, as `swarm.toml` writes them for protected files and for reviews.

A pattern is matched against repository paths with forward slashes, without regard to case, because a repository may be
checked out on a file system that has none. `*` and `?` stay within one part of a path, `**` spans parts; a pattern with
a slash inside or in front is anchored at the root, any other holds at every depth; a trailing slash means the folder and all in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache


def normal_path(path: str) -> str:
    """The form in which two paths that one file system could take for the same are equal: case, composed letters,
    invisible characters (HFS+ ignores them), trailing dots and spaces (NTFS drops them).
    """
    visible = "".join(letter for letter in path if unicodedata.category(letter) != "Cf")
    return "/".join(part.rstrip(". ") or part for part in unicodedata.normalize("NFC", visible).casefold().split("/"))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    anchored = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    parts: list[str] = []
    for piece in re.split(r"(\*\*/|\*\*|\*|\?)", unicodedata.normalize("NFC", body).casefold()):
        match piece:
            case "**/":
                parts.append("(?:.*/)?")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _:
                parts.append(re.escape(piece))
    start = "" if anchored else "(?:.*/)?"
    end = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return re.compile(f"{start}{''.join(parts)}{end}", re.DOTALL)


def is_among(path: str, entries: Iterable[str]) -> bool:
    """Whether `entries`, paths and folders with a trailing slash, name it: no patterns, as it is written."""
    return any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in entries)


def matching_pattern(path: str, patterns: Iterable[str]) -> str | None:
    """The first of `patterns` that `path` matches."""
    name = normal_path(path)
    return next((pattern for pattern in patterns if _compiled(pattern).fullmatch(name)), None)
