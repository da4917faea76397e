from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import json
import os
import re
import select
from collections.abc import AsyncIterator

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.domain.notice import Severity
from swarmworks.notify.command import CommandChannel
from swarmworks.notify.desktop import DesktopChannel
from swarmworks.notify.email import EmailChannel, MailServer
from swarmworks.notify.protocol import Lack, NotToldError
from swarmworks.notify.slack import SlackChannel
from swarmworks.notify.webhook import WebhookChannel
from tests.notify.conformance import LIMIT_S, SECRET, ChannelConformance, Receiver
from tests.notify.fakes import CERTIFICATE, FakeHttp, FakeMail, dispatch, notice, program

DEATH_S = 20.0


class Texts(list[str]):
    """What a receiver has, looked up when it is asked for."""

    def __init__(self, look):
        super().__init__()
        self._look = look

    def __iter__(self):
        return iter(self._look())

    def __len__(self):
        return len(self._look())


class TestWebhook(ChannelConformance):
    async def _with(self, fake: FakeHttp) -> AsyncIterator[Receiver]:
        async with fake.running():
            url = fake.url(f"/hook/{SECRET}?token={SECRET}")
            channel = WebhookChannel("hook", url, ManualClock(), secret=SECRET, timeout_s=LIMIT_S if fake.silent else 5)
            yield Receiver(channel, Texts(lambda: [_words(one.body) for one in fake.requests]))

    def taking(self):
        return self._with(FakeHttp())

    def refusing(self):
        return self._with(FakeHttp(status=404))

    def silent(self):
        return self._with(FakeHttp(silent=True))

    async def test_it_is_signed_so_that_the_receiver_can_check_it(self):
        async with FakeHttp().running() as fake:
            await WebhookChannel("hook", fake.url(), ManualClock(), secret=SECRET).send(dispatch())
        (request,) = fake.requests
        stamp = request.headers["Swarm-Timestamp"]
        wanted = hmac.new(SECRET.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()
        assert request.headers["Swarm-Signature"] == f"sha256={wanted}"
        assert stamp == str(int(ManualClock().now().timestamp()))
        assert SECRET.encode() not in request.body
        assert request.headers["Swarm-Notice-Id"] == json.loads(request.body)["id"] == "swm_1.7"

    async def test_without_a_secret_nothing_is_signed(self):
        async with FakeHttp().running() as fake:
            await WebhookChannel("hook", fake.url(), ManualClock()).send(dispatch())
        assert "Swarm-Signature" not in fake.requests[0].headers

    async def test_the_body_is_the_documented_one(self):
        async with FakeHttp().running() as fake:
            await WebhookChannel("hook", fake.url(), ManualClock()).send(dispatch())
        body = json.loads(fake.requests[0].body)
        assert (body["version"], body["project"], body["severity"]) == (1, "shop", "warning")
        (only,) = body["notices"]
        assert (only["kind"], only["swarm"], only["event"]) == ("task.blocked", "swm_1", 7)
        assert only["item"] == {"kind": "task", "id": "users-7"}

    async def test_a_redirect_is_not_followed(self):
        async with FakeHttp().running() as elsewhere, FakeHttp(307, {"Location": elsewhere.url()}).running() as fake:
            with pytest.raises(NotToldError, match="redirects are not followed") as caught:
                await WebhookChannel("hook", fake.url(), ManualClock(), secret=SECRET).send(dispatch())
        assert not elsewhere.requests
        assert not caught.value.again

    @pytest.mark.parametrize(("status", "again"), [(500, True), (503, True), (429, True), (408, True), (400, False)])
    async def test_what_may_be_gone_later_is_tried_again(self, status, again):
        async with FakeHttp(status=status).running() as fake:
            with pytest.raises(NotToldError) as caught:
                await WebhookChannel("hook", fake.url(), ManualClock()).send(dispatch())
        assert caught.value.again is again

    async def test_nobody_listens(self):
        async with FakeHttp().running() as fake:
            gone = fake.url(f"/{SECRET}")
        with pytest.raises(NotToldError, match="cannot be reached") as caught:
            await WebhookChannel("hook", gone, ManualClock()).send(dispatch())
        assert caught.value.again
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("url", [None, "ftp://x/y", "not an address", "http://"])
    async def test_an_address_that_is_none_is_lacking(self, url):
        channel = WebhookChannel("hook", url, ManualClock())
        assert channel.lacks() is not None
        with pytest.raises(NotToldError):
            await channel.send(dispatch())


class TestSlack(ChannelConformance):
    async def _with(self, fake: FakeHttp) -> AsyncIterator[Receiver]:
        async with fake.running():
            channel = SlackChannel("team", fake.url(f"/{SECRET}"), timeout_s=LIMIT_S if fake.silent else 5)
            yield Receiver(channel, Texts(lambda: [_words(one.body) for one in fake.requests]))

    def taking(self):
        return self._with(FakeHttp())

    def refusing(self):
        return self._with(FakeHttp(status=403))

    def silent(self):
        return self._with(FakeHttp(silent=True))

    async def test_an_agent_cannot_mention_everybody(self):
        async with FakeHttp().running() as fake:
            await SlackChannel("team", fake.url()).send(dispatch(notice(title="<!channel> & <@U1>", text="<!here>")))
        body = fake.requests[0].body.decode()
        assert "<!" not in body
        assert "<@" not in body
        assert "&lt;!channel&gt; &amp; " in body

    async def test_an_address_that_is_not_there_is_lacking(self):
        channel = SlackChannel("team", None, missing=Lack("environment variable SLACK is empty", "set it"))
        assert channel.lacks() == Lack("environment variable SLACK is empty", "set it")
        with pytest.raises(NotToldError, match="SLACK is empty") as caught:
            await channel.send(dispatch())
        assert not caught.value.again


class TestEmail(ChannelConformance):
    security = "none"

    async def _with(self, fake: FakeMail, *, timeout_s: float = 5.0) -> AsyncIterator[Receiver]:
        async with fake.running():
            user = "robot" if fake.password else None
            server = MailServer("127.0.0.1", fake.port, fake.security, user, str(CERTIFICATE))
            channel = EmailChannel(
                "mail", server, "swarm@example.test", ["a@example.test", "b@example.test"], ManualClock(),
                password=SECRET if user else None, timeout_s=timeout_s,
            )  # fmt: skip
            yield Receiver(channel, Texts(lambda: [_mail_text(one) for one in fake.mails]))

    def taking(self):
        return self._with(FakeMail(self.security))

    def refusing(self):
        return self._with(FakeMail(self.security, refuses="550 nobody of that name"))

    def silent(self):
        return self._with(FakeMail(self.security, silent=True), timeout_s=LIMIT_S)

    async def test_its_headers_are_those_of_a_machine(self):
        async with FakeMail().running() as fake:
            async for receiver in self._with(fake):
                await receiver.channel.send(dispatch())
        mail = email.message_from_string(fake.mails[0], policy=email.policy.default)
        assert mail["Subject"] == "[shop] Task users-7 is blocked"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Message-ID"] == "<swm_1.7.mail@example.test>"
        assert mail["Date"] == "Thu, 01 Jan 2026 00:00:00 +0000"
        assert (mail["From"], mail["To"]) == ("swarm@example.test", "a@example.test, b@example.test")
        assert mail.get_content_type() == "text/plain"
        assert fake.receivers == ["a@example.test", "b@example.test"]

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    async def test_it_logs_in_over_a_secured_connection(self, security):
        fake = FakeMail(security, password=SECRET)
        async for receiver in self._with(fake):
            await receiver.channel.send(dispatch())
        assert fake.logins == ["robot"]
        assert fake.secured
        assert len(fake.mails) == 1

    async def test_a_wrong_password_is_refused_for_good_and_not_shown(self):
        async for receiver in self._with(FakeMail("starttls", password="another")):
            with pytest.raises(NotToldError, match="refused the login") as caught:
                await receiver.channel.send(dispatch())
            assert not caught.value.again
            assert SECRET not in str(caught.value)

    async def test_a_server_without_starttls_gets_no_mail(self):
        fake = FakeMail("none")
        async with fake.running():
            server = MailServer("127.0.0.1", fake.port, "starttls")
            channel = EmailChannel("mail", server, "s@example.test", ["a@example.test"], ManualClock())
            with pytest.raises(NotToldError) as caught:
                await channel.send(dispatch())
        assert not caught.value.again
        assert not fake.mails

    async def test_a_certificate_nobody_vouches_for_gets_no_mail(self):
        fake = FakeMail("tls")
        async with fake.running():
            server = MailServer("127.0.0.1", fake.port, "tls")
            channel = EmailChannel("mail", server, "s@example.test", ["a@example.test"], ManualClock())
            with pytest.raises(NotToldError, match="CERTIFICATE_VERIFY_FAILED") as caught:
                await channel.send(dispatch())
        assert not caught.value.again
        assert not fake.mails

    async def test_a_full_mailbox_may_have_room_later(self):
        async for receiver in self._with(FakeMail(data_answer="452 no space")):
            with pytest.raises(NotToldError, match="no space") as caught:
                await receiver.channel.send(dispatch())
            assert caught.value.again


class TestCommand(ChannelConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    async def _with(self, script: str, *, timeout_s: float = 10.0) -> AsyncIterator[Receiver]:
        said = self.folder / "said"
        path = program(self.folder, "tell", script)
        channel = CommandChannel("script", [str(path), str(said)], dict(os.environ), timeout_s=timeout_s)
        yield Receiver(channel, Texts(lambda: [said.read_text()] if said.exists() else []))

    def taking(self):
        return self._with('printf "%s\\n%s\\n" "$SWARM_NOTICE_TITLE" "$SWARM_NOTICE_TEXT" > "$1"; cat > /dev/null')

    def refusing(self):
        return self._with("echo no such pager >&2; exit 3")

    def silent(self):
        return self._with("sleep 60", timeout_s=LIMIT_S)

    async def test_it_gets_the_dispatch_as_json(self):
        async for receiver in self._with('cat > "$1"'):
            await receiver.channel.send(dispatch())
            (given,) = receiver.texts
            assert json.loads(given)["notices"][0]["command"] == "swarm inbox"

    async def test_it_gets_no_other_environment_than_it_is_given(self):
        said = self.folder / "said"
        path = program(self.folder, "tell", f"env > {said}")
        channel = CommandChannel("script", [str(path)], {"PATH": os.environ["PATH"], "ALLOWED": "1"})
        await channel.send(dispatch())
        names = set(re.findall(r"^([A-Z_]+)=", said.read_text(), re.MULTILINE))
        assert {one for one in names if not one.startswith("SWARM_NOTICE_")} <= {"PATH", "ALLOWED", "PWD", "OLDPWD"}
        assert {"SWARM_NOTICE_SEVERITY", "SWARM_NOTICE_KIND", "SWARM_NOTICE_COMMAND"} <= names

    async def test_its_last_words_are_in_the_error(self):
        async for receiver in self.refusing():
            with pytest.raises(NotToldError, match="ended with code 3: no such pager"):
                await receiver.channel.send(dispatch())

    async def test_endless_output_is_bounded(self):
        async for receiver in self._with("yes | head -c 3000000; exit 1"):
            with pytest.raises(NotToldError) as caught:
                await receiver.channel.send(dispatch())
            assert len(str(caught.value)) < 1000

    async def test_what_it_started_ends_with_it(self):
        said = self.folder / "pid"
        async for receiver in self._with(f"sleep 60 & echo $! > {said}; wait", timeout_s=LIMIT_S):
            with pytest.raises(NotToldError, match="did not end within"):
                await receiver.channel.send(dispatch())
        assert _ends(int(said.read_text()))

    async def test_a_program_that_does_not_read_is_fine(self):
        async for receiver in self._with('exec < /dev/null; echo read > "$1"'):
            await receiver.channel.send(dispatch(*[notice(n, text="x" * 900) for n in range(20)]))
            assert list(receiver.texts) == ["read\n"]

    async def test_no_such_program(self):
        channel = CommandChannel("script", ["/nowhere/tell"], {"PATH": "/bin"})
        lack = channel.lacks()
        assert lack is not None
        assert "/nowhere/tell" in lack.what
        with pytest.raises(NotToldError, match="cannot be started") as caught:
            await channel.send(dispatch())
        assert not caught.value.again


class TestDesktop(ChannelConformance):
    program_name = "notify-send"

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def _environment(self):
        for name in ("cat", "sleep"):
            (self.folder / name).symlink_to(f"/bin/{name}")
        return {"PATH": str(self.folder), "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere", "USER": "ann"}

    async def _with(self, script: str, *, timeout_s: float = 10.0) -> AsyncIterator[Receiver]:
        said = self.folder / "said"
        program(self.folder, self.program_name, script.replace("$SAID", str(said)))
        channel = DesktopChannel("desk", self._environment(), timeout_s=timeout_s)
        yield Receiver(channel, Texts(lambda: [said.read_text()] if said.exists() else []))

    def taking(self):
        return self._with('printf "%s\\n" "$@" > $SAID')

    def refusing(self):
        return self._with("exit 1")

    def silent(self):
        return self._with("sleep 60", timeout_s=LIMIT_S)

    async def test_markup_of_an_agent_is_not_read_as_such(self):
        async for receiver in self.taking():
            await receiver.channel.send(dispatch(notice(text="<a href='x'>click</a>")))
            (text,) = receiver.texts
            assert "&lt;a href=" in text

    async def test_a_machine_without_any_way_says_so(self):
        channel = DesktopChannel("desk", {"PATH": str(self.folder), "DBUS_SESSION_BUS_ADDRESS": "x"})
        lack = channel.lacks()
        assert lack is not None
        assert "neither notify-send, gdbus nor osascript" in lack.what
        with pytest.raises(NotToldError, match="neither notify-send") as caught:
            await channel.send(dispatch())
        assert not caught.value.again


class TestDesktopByNotifySend(TestDesktop):
    async def test_urgent_ones_stay(self):
        async for receiver in self.taking():
            await receiver.channel.send(dispatch(notice(severity=Severity.URGENT)))
            rows = next(iter(receiver.texts)).splitlines()
            assert rows[rows.index("--urgency") + 1] == "critical"
            assert rows[rows.index("--expire-time") + 1] == "0"

    async def test_without_a_session_there_is_nobody_to_tell(self):
        program(self.folder, "notify-send", "exit 0")
        lack = DesktopChannel("desk", {"PATH": str(self.folder)}).lacks()
        assert lack is not None
        assert "no desktop session" in lack.what

    async def test_it_is_preferred(self):
        program(self.folder, "gdbus", "exit 9")
        async for receiver in self.taking():
            await receiver.channel.send(dispatch())


class TestDesktopByGdbus(TestDesktop):
    program_name = "gdbus"

    async def test_a_text_cannot_become_another_argument(self):
        async for receiver in self.taking():
            await receiver.channel.send(dispatch(notice(title="it's 5 [x] \\", text="a\n'], {}")))
            rows = next(iter(receiver.texts)).splitlines()
            assert "'it\\'s 5 [x] \\\\'" in rows


class TestDesktopByOsascript(TestDesktop):
    program_name = "osascript"

    async def test_markup_of_an_agent_is_not_read_as_such(self):
        async for receiver in self.taking():
            await receiver.channel.send(dispatch(notice(text='" & (do shell script "reboot") & "')))
            rows = next(iter(receiver.texts)).splitlines()
            scripts = [rows[n + 1] for n, row in enumerate(rows) if row == "-e"]
            assert not any("reboot" in one for one in scripts)


del TestDesktop


def _words(body: bytes) -> str:
    """Every text in a JSON body, with Slack's escapes taken back."""
    found: list[str] = []

    def walk(value):
        if isinstance(value, dict):
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)
        else:
            found.append(str(value))

    walk(json.loads(body))
    return "\n".join(found).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _mail_text(raw: str) -> str:
    mail = email.message_from_string(raw, policy=email.policy.default)
    return f"{mail['Subject']}\n{mail.get_content()}"


def _ends(pid: int) -> bool:
    """Whether a process is dead or dying: a kill is carried out a moment after it was sent."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], DEATH_S)[0])
    finally:
        os.close(process)
