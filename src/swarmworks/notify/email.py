"""Plain text mail over SMTP, by STARTTLS or TLS from the start, with or without a login."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from swarmworks.base.clock import Clock
from swarmworks.domain.notice import Severity
from swarmworks.notify.protocol import Dispatch, Lack, NotToldError
from swarmworks.policy.wording import plain

TIMEOUT_S = 20.0
MOST_SAID = 200
_IMPORTANCE = {Severity.INFO: "low", Severity.WARNING: "normal", Severity.URGENT: "high"}
_FINAL = (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError, ssl.SSLCertVerificationError)


@dataclass(frozen=True, slots=True)
class MailServer:
    """`ca_file` is trusted in place of the machine's own authorities."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    user: str | None = None
    ca_file: str | None = None


class EmailChannel:
    def __init__(
        self,
        name: str,
        server: MailServer,
        sender: str,
        receivers: Sequence[str],
        clock: Clock,
        *,
        password: str | None = None,
        missing: Lack | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._server = server
        self._sender = sender
        self._receivers = tuple(receivers)
        self._clock = clock
        self._password = password
        self._missing = missing
        self._timeout_s = timeout_s

    @property
    def address(self) -> str:
        return f"mail to {', '.join(self._receivers)}"

    def lacks(self) -> Lack | None:
        return self._missing

    async def send(self, dispatch: Dispatch) -> None:
        if self._missing is not None:
            raise NotToldError(self._missing.what, where=self.name, mend=self._missing.mend, again=False)
        opened: list[smtplib.SMTP] = []
        handing = asyncio.create_task(asyncio.to_thread(self._hand_over, self._mail(dispatch), opened))
        done, _ = await asyncio.wait([handing], timeout=self._timeout_s)
        if not done:
            for session in opened:
                session.close()  # the thread's next read fails: it ends too
            with contextlib.suppress(NotToldError):
                await handing
            raise NotToldError(f"the mail was not taken within {self._timeout_s:g} s", where=self._server.host)
        handing.result()

    def _mail(self, dispatch: Dispatch) -> EmailMessage:
        """The Message-ID is that of the dispatch: a mail that is sent again after a crash is known to mailboxes."""
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._receivers)
        mail["Subject"] = f"[{dispatch.project}] {dispatch.title}"
        mail["Date"] = format_datetime(self._clock.now())
        domain = self._sender.rpartition("@")[2].strip("> ") or "localhost"
        mail["Message-ID"] = f"<{dispatch.key}.{self.name}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "All"
        mail["Importance"] = _IMPORTANCE[dispatch.severity]
        mail.set_content(f"{dispatch.title}\n\n{dispatch.text}\n")
        return mail

    def _hand_over(self, mail: EmailMessage, opened: list[smtplib.SMTP]) -> None:
        try:
            with self._connect(opened) as session:
                if self._server.user is not None and self._password is not None:
                    session.login(self._server.user, self._password)
                refused = session.send_message(mail)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise self._failure(error) from error
        if refused:
            names = ", ".join(sorted(refused))
            raise NotToldError(f"the server refused {names}", where=self._server.host, mend="check `to`", again=False)

    def _connect(self, opened: list[smtplib.SMTP]) -> smtplib.SMTP:
        server = self._server
        if server.security == "tls":
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout_s, context=self._context()
            )
        else:
            session = smtplib.SMTP(server.host, server.port, timeout=self._timeout_s)
        opened.append(session)
        try:
            if server.security == "starttls":
                session.starttls(context=self._context())
        except BaseException:
            session.close()
            raise
        return session

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._server.ca_file)

    def _failure(self, error: Exception) -> NotToldError:
        where = f"{self._server.host}:{self._server.port}"
        if isinstance(error, smtplib.SMTPAuthenticationError):
            mend = "check `user`, and the password where `password_env` or `password_file` says"
            return NotToldError("the server refused the login", where=where, mend=mend, again=False)
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            names = ", ".join(sorted(error.recipients))
            return NotToldError(f"the server refused {names}", where=where, mend="check `to`", again=False)
        final = isinstance(error, _FINAL) or (isinstance(error, smtplib.SMTPResponseException) and _refusal(error))
        what = plain(" ".join(str(error).split()), MOST_SAID) or type(error).__name__
        return NotToldError(what, where=where, mend="check host, port and security", again=not final)


def _refusal(error: smtplib.SMTPResponseException) -> bool:
    return error.smtp_code >= 500
