"""Which files of a repository hold tests, by the names that test runners look for."""

from __future__ import annotations

import re

_FOLDERS = frozenset({"test", "tests", "testing", "__tests__", "spec", "specs"})
_NAME = re.compile(
    r"^(?:test_.+|.+_test|conftest|.+[.-](?:test|spec)|.+_spec|[A-Z]\w*Tests?|Test[A-Z]\w*)\.\w{1,5}$|^test\.\w{1,5}$"
)


def is_test_file(path: str) -> bool:
    """Whether `path` (of a repository) is a test or something only tests use: in a folder of tests, or named like one."""
    *folders, name = path.split("/")
    return not _FOLDERS.isdisjoint(folders) or _NAME.match(name) is not None


def base_name(test: str) -> str:
    """A test's name in a report without its parameters: `tests.test_a::test_x[1]` is `tests.test_a::test_x`."""
    return test.partition("[")[0]
