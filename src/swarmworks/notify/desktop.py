"""The desktop's own notifications, by the first way that is there: notify-send, gdbus, or osascript on macOS."""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from swarmworks.domain.notice import Severity
from swarmworks.notify.program import run_program
from swarmworks.notify.protocol import Dispatch, Lack, NotToldError

APP = "Swarmworks"
TIMEOUT_S = 10.0
MOST_TEXT = 400
_URGENCY = {Severity.INFO: "low", Severity.WARNING: "normal", Severity.URGENT: "critical"}
_URGENCY_BYTE = {Severity.INFO: 0, Severity.WARNING: 1, Severity.URGENT: 2}
_STAYS_MS = {Severity.INFO: 5_000, Severity.WARNING: 15_000, Severity.URGENT: 0}  # 0: until it is closed
_MAC = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)

Argv = tuple[str, ...]


class DesktopChannel:
    """`environment` holds PATH and the way to the person's session."""

    def __init__(self, name: str, environment: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> None:
        self.name = name
        self._environment = dict(environment)
        self._timeout_s = timeout_s

    @property
    def address(self) -> str:
        return f"desktop of {self._environment.get('USER') or 'this machine'}"

    def lacks(self) -> Lack | None:
        way = self._way()
        if way is None:
            return Lack(
                "there is neither notify-send, gdbus nor osascript",
                "install it, such as with apt install libnotify-bin, or choose another kind of channel",
            )
        if way[0] is not _osascript and not self._has_session():
            return Lack(
                "there is no desktop session here: DBUS_SESSION_BUS_ADDRESS is not set",
                "start swarm inside the desktop session, or choose another kind of channel",
            )
        return None

    async def send(self, dispatch: Dispatch) -> None:
        lack = self.lacks()
        way = self._way()
        if lack is not None or way is None:
            raise NotToldError(lack.what if lack else "", where=self.name, mend=lack.mend if lack else "", again=False)
        build, program = way
        await run_program(build(program, dispatch), self._environment, timeout_s=self._timeout_s)

    def _way(self) -> tuple[Callable[[str, Dispatch], Argv], str] | None:
        for name, build in (("notify-send", _notify_send), ("gdbus", _gdbus), ("osascript", _osascript)):
            if (program := shutil.which(name, path=self._environment.get("PATH"))) is not None:
                return build, program
        return None

    def _has_session(self) -> bool:
        if self._environment.get("DBUS_SESSION_BUS_ADDRESS"):
            return True
        runtime = self._environment.get("XDG_RUNTIME_DIR")
        return bool(runtime) and (Path(str(runtime)) / "bus").exists()


def _body(dispatch: Dispatch) -> str:
    """Notification servers read a little markup, so that what an agent wrote is escaped."""
    text = dispatch.text
    short = text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 40].rstrip()} ...\n{text.splitlines()[-1]}"
    return html.escape(short, quote=False)


def _notify_send(program: str, dispatch: Dispatch) -> Argv:
    urgency, stays = _URGENCY[dispatch.severity], _STAYS_MS[dispatch.severity]
    options = ("--app-name", APP, "--urgency", urgency, "--expire-time", str(stays))
    return (program, *options, "--", dispatch.title, _body(dispatch))


def _gdbus(program: str, dispatch: Dispatch) -> Argv:
    method = "org.freedesktop.Notifications.Notify"
    target = ("--session", "--dest", "org.freedesktop.Notifications", "--object-path", "/org/freedesktop/Notifications")
    hints = f"{{'urgency': <byte {_URGENCY_BYTE[dispatch.severity]}>}}"
    stays = str(_STAYS_MS[dispatch.severity])
    texts = (_variant(dispatch.title), _variant(_body(dispatch)))
    return (program, "call", *target, "--method", method, "--", _variant(APP), "0", "''", *texts, "[]", hints, stays)


def _variant(text: str) -> str:
    """A string in GVariant's text form, so that none is taken for a number or a list."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return f"'{escaped}'"


def _osascript(program: str, dispatch: Dispatch) -> Argv:
    """The texts are arguments, never part of the script."""
    script = tuple(part for line in _MAC for part in ("-e", line))
    return (program, *script, dispatch.title, dispatch.text[:MOST_TEXT])
