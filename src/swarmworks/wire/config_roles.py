"""`[roles.NAME]`: what agents of a role may read, write, run and reach.

What the file does not say of a role is as the kind of role has it; the plan's own names (`api`, `testing`, ...) are kinds of these
six. Of a role of no kind, what its table does not give is off. Boundaries only ever narrow what the task owns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from swarmworks.wire.config_reach import RoleReach

TEXT_TOOLS: Final = (
    *(
        "[",
        "awk",
        "base64",
        "basename",
        "bash",
        "cat",
        "chmod",
        "cksum",
        "cmp",
        "comm",
        "cp",
        "cut",
        "dash",
        "date",
        "diff",
    ),
    *(
        "diff3",
        "dirname",
        "du",
        "echo",
        "egrep",
        "env",
        "expand",
        "expr",
        "false",
        "fgrep",
        "file",
        "find",
        "fmt",
        "fold",
    ),
    *("git", "grep", "gunzip", "gzip", "head", "hexdump", "iconv", "id", "install", "join", "jq", "less", "ln", "ls"),
    *(
        "md5sum",
        "mkdir",
        "mktemp",
        "mv",
        "nl",
        "nproc",
        "od",
        "paste",
        "patch",
        "pr",
        "printenv",
        "printf",
        "ps",
        "pwd",
    ),
    *("readlink", "realpath", "rg", "rm", "rmdir", "sed", "seq", "sh", "sha1sum", "sha256sum", "shuf", "sleep", "sort"),
    *("split", "stat", "strings", "tac", "tail", "tar", "tee", "test", "timeout", "touch", "tr", "tree", "true"),
    *(
        "tsort",
        "uname",
        "unexpand",
        "uniq",
        "unzip",
        "wc",
        "which",
        "whoami",
        "xargs",
        "xxd",
        "xz",
        "yes",
        "zip",
        "zcat",
    ),
)
_BUILDING: Final = ("make", "gmake", "cmake", "ninja", "pkg-config")
_COMPILERS: Final = (
    *("ar", "as", "c++", "cc", "clang", "clang++", "cpp", "g++", "gcc", "ld", "nm", "objcopy", "objdump", "ranlib"),
    "strip",
)
_BY_LANGUAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "c": _COMPILERS,
    "c++": _COMPILERS,
    "cpp": _COMPILERS,
    "go": ("go", "gofmt", *_COMPILERS),
    "java": ("ant", "gradle", "jar", "java", "javac", "javadoc", "mvn"),
    "javascript": ("node", "nodejs", "npm", "npx", "pnpm", "yarn"),
    "kotlin": ("gradle", "jar", "java", "javac", "kotlin", "kotlinc", "mvn"),
    "perl": ("perl", "prove"),
    "php": ("composer", "php"),
    "python": ("python3",),
    "ruby": ("bundle", "gem", "rake", "ruby"),
    "rust": ("cargo", "rustc", "rustdoc", *_COMPILERS),
    "typescript": ("node", "nodejs", "npm", "npx", "pnpm", "tsc", "yarn"),
}
TEXT, PROJECT = "@text", "@project"
_PROGRAM: Final = r"^(@text|@project|[^/@\s\x00][^/\s\x00]{0,99}|/[^\x00]{1,999})$"


class RoleSection(RoleReach):
    """`files`: whether agents see the repository at all, only read it, or write it. `write`: patterns of the paths that may be
    written of those a task owns; None for all of them. `run`: names of the system's programs, absolute paths inside, and the
    groups `@text` and `@project`.
    """

    files: Literal["none", "read", "write"] = "none"
    write: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] | None = None
    run: Annotated[tuple[Annotated[str, Field(pattern=_PROGRAM)], ...], Field(max_length=500)] = ()

    def programs(self, language: str) -> tuple[str, ...]:
        """Names and paths, without groups."""
        groups = {TEXT: TEXT_TOOLS, PROJECT: (*_BUILDING, *_project_tools(language))}
        named = [program for entry in self.run for program in groups.get(entry, (entry,))]
        return tuple(dict.fromkeys(named))

    @property
    def runs_project_tools(self) -> bool:
        return PROJECT in self.run


def _project_tools(language: str) -> tuple[str, ...]:
    """Of a language nobody thought of here, those of every language."""
    known = _BY_LANGUAGE.get(language.strip().lower())
    every = {program for programs in _BY_LANGUAGE.values() for program in programs}
    return known if known is not None else tuple(sorted(every))


_BUILDER = RoleSection(files="write", run=(TEXT, PROJECT))
DEFAULT_ROLES: Final[Mapping[str, RoleSection]] = {
    "architect": RoleSection(files="write", run=(TEXT, PROJECT)),
    "implementer": _BUILDER,
    "tester": _BUILDER,
    "reviewer": RoleSection(files="read", run=(TEXT,)),
    "documenter": RoleSection(files="write", run=(TEXT,)),
    "mechanic": _BUILDER,
}
_KINDS: Final = {
    "api": "implementer",
    "database": "implementer",
    "testing": "tester",
    "documentation": "documenter",
    "review": "reviewer",
    "planner": "architect",
}


def completed(configured: Mapping[str, RoleSection]) -> dict[str, RoleSection]:
    """Each table with what it does not say from the kind of role, as the file or the product has that: to name a host takes
    nothing else away. In a table for a role of no kind, what it does not say is off.
    """
    kinds = {name: _on(DEFAULT_ROLES.get(name), section) for name, section in configured.items() if name not in _KINDS}
    named = {
        name: _on(kinds.get(_KINDS[name]) or DEFAULT_ROLES[_KINDS[name]], section)
        for name, section in configured.items()
        if name in _KINDS
    }
    return {**kinds, **named}


def _on(base: RoleSection | None, section: RoleSection) -> RoleSection:
    said = {field: getattr(section, field) for field in section.model_fields_set}
    return section if base is None else base.model_copy(update=said)


def boundaries(role: str, tables: Mapping[str, RoleSection]) -> RoleSection:
    """Of the role itself where there is a table for it, else of its kind, as the file or the product has that; a name of no kind
    is an implementer's. `tables` are completed.
    """
    kind = _KINDS.get(role, role if role in DEFAULT_ROLES else "implementer")
    for name in (role, kind):
        if name in tables:
            return tables[name]
    return DEFAULT_ROLES[kind]


def writable(role: RoleSection) -> tuple[str, ...] | None:
    """The patterns of what may be written at all; None for everything, none of them for a role that writes no file."""
    return role.write if role.files == "write" else ()
