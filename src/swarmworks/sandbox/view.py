"""What a program sees of the machine: the minimal root, the mounts it was given, and what in them stays read-only.

Pure but for looking at the host's directories; the result is arguments for bubblewrap.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from swarmworks.sandbox.protocol import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swarmworks.sandbox.protocol import Mount

ROOT_DIRECTORIES: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC: Final = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "ethertypes",
    "fonts",
    "gai.conf",
    "host.conf",
    "java-*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "maven",
    "mime.types",
    "os-release",
    "perl",
    "pki",
    "protocols",
    "python3*",
    "rpc",
    "services",
    "ssl",
    "terminfo",
    "timezone",
)
_ETC_OF_BUILDS: Final = ("resolv.conf", "hosts", "pip.conf", "npmrc")  # how to reach registries
READABLE: Final = ("/etc", "/proc", "/dev", "/run", "/var", "/home")
"""Of the root, what may be read whatever programs are allowed."""
ETC_OURS: Final = ("passwd", "group", "nsswitch.conf", "hosts")

Binding = tuple[str, str, str]  # option, path on the host, path inside


def system_root() -> list[str]:
    """The programs and libraries, read-only; links where the host has links (merged /usr)."""
    arguments: list[str] = []
    for directory in ROOT_DIRECTORIES:
        path = Path(directory)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), directory]
        elif path.is_dir():
            arguments += ["--ro-bind", directory, directory]
    return arguments


def system_etc(network: Network, ours: str) -> list[str]:
    """`ours` is the directory, as bubblewrap sees it, with the files of `etc_files`."""
    arguments: list[str] = []
    for pattern in _ETC:
        for path in sorted(path for path in Path("/etc").glob(pattern) if path.exists()):
            arguments += ["--ro-bind-try", str(path), str(path)]
    builds = _ETC_OF_BUILDS if network is Network.HOST else ()
    for name in ETC_OURS:
        if name not in builds:
            arguments += ["--ro-bind", f"{ours}/{name}", f"/etc/{name}"]
    for name in builds:
        path = Path("/etc") / name
        if path.exists():
            arguments += ["--ro-bind", str(path.resolve()), f"/etc/{name}"]
    return arguments


def readable_etc(network: Network) -> list[str]:
    """What of the host's /etc may be read where it cannot be replaced."""
    names = [*_ETC, "passwd", "group", "nsswitch.conf", *(_ETC_OF_BUILDS if network is Network.HOST else ())]
    return [str(path) for name in names for path in sorted(Path("/etc").glob(name))]


def etc_files(uid: int, gid: int, home: str) -> dict[str, str]:
    """The files of /etc that must not be the host's: they name its users and its network."""
    return {
        "passwd": f"root:x:0:0::/:/bin/false\nagent:x:{uid}:{gid}::{home}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
        "group": f"root:x:0:\nagent:x:{gid}:\nnogroup:x:65534:\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    }


def bindings(
    mounts: Iterable[Mount], protected: Iterable[str], on_host: Callable[[Path], str]
) -> tuple[list[Binding], list[Binding]]:
    """The mounts, parents before what lies in them, and the protections on top. `on_host` says where bubblewrap finds a
    source.
    """
    ordered = sorted(mounts, key=lambda mount: len(PurePosixPath(mount.target).parts))
    shown = [("--bind" if m.writable else "--ro-bind", on_host(m.source), m.target) for m in ordered]
    protections: dict[str, Binding] = {}
    for path in protected:
        mount = _mount_of(ordered, path)
        if mount is not None and mount.writable:
            for binding in _protect(mount, path, on_host(mount.source)):
                known = protections.get(binding[2])
                if known is None or known[0] == "--bind":
                    protections[binding[2]] = binding
    return shown, sorted(protections.values(), key=lambda binding: len(PurePosixPath(binding[2]).parts))


def _mount_of(ordered: list[Mount], path: str) -> Mount | None:
    for mount in reversed(ordered):
        if is_within(path, mount.target):
            return mount
    return None


def is_within(path: str, directory: str) -> bool:
    return PurePosixPath(path).is_relative_to(directory)


def _protect(mount: Mount, path: str, source: str) -> Iterable[Binding]:
    """A read-only mount is escaped by renaming a directory above it, unless that is a mount point itself: so every
    directory between the mount and the path is bound onto itself. A symbolic link cannot hold a mount: what it leads to is
    protected when it lies in the same mount, the link itself is left to the check of the diff. So is what does not exist.
    """
    root = mount.source.resolve()
    real = Path(os.path.normpath(root / PurePosixPath(path).relative_to(mount.target))).resolve()
    if not real.exists() or not real.is_relative_to(root):
        return
    if real == root:
        yield "--ro-bind", source, mount.target
        return
    relative = real.relative_to(root)
    for parent in reversed(relative.parents[:-1]):
        yield "--bind", f"{source}/{parent}", f"{mount.target}/{parent}"
    yield "--ro-bind", f"{source}/{relative}", f"{mount.target}/{relative}"


def kept_files(paths: Iterable[str], mounts: tuple[Mount, ...]) -> list[str]:
    """The host's files for those of `paths` that lie in a read-only mount: what nobody inside can replace."""
    ordered = sorted(mounts, key=lambda mount: len(PurePosixPath(mount.target).parts))
    found = ((path, _mount_of(ordered, path)) for path in paths)
    return [translate(path, mounts) for path, mount in found if mount is not None and not mount.writable]


def translate(word: str, mounts: tuple[Mount, ...]) -> str:
    """The host's path for a path inside; any other word is returned as it is. The deepest mount wins."""
    if not word.startswith("/"):
        return word
    for mount in sorted(mounts, key=lambda m: len(PurePosixPath(m.target).parts), reverse=True):
        if is_within(word, mount.target):
            return str(mount.source.absolute() / PurePosixPath(word).relative_to(mount.target))
    return word
