from __future__ import annotations

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.notice import Severity
from swarmworks.wire.config_file import load_config
from swarmworks.wire.options import SwarmOptions, from_json, to_json

HEAD = 'gates = "none"\n[project]\nname = "shop"\n'
FULL = (
    HEAD
    + """\
[notify]
quiet = "22:00-07:00"
timezone = "Europe/Berlin"
escalate_after = "15m"
escalate_to = ["mail"]

[[notify.channels]]
name = "desk"
kind = "desktop"
severity = "info"
about = ["swarm.landed"]

[[notify.channels]]
name = "mail"
kind = "email"
host = "smtp.example.com"
from = "Swarm <swarm@example.com>"
to = ["ann@example.com"]
user = "swarm"
password_env = "MAIL_PASSWORD"

[[notify.channels]]
name = "hook"
kind = "webhook"
url = "https://example.com/hook"
secret_env = "HOOK_SECRET"

[[notify.channels]]
name = "team"
kind = "slack"
url_env = "SLACK_URL"

[[notify.channels]]
name = "pager"
kind = "command"
argv = ["/usr/local/bin/page", "--now"]
"""
)


def load(text):
    return load_config(text, name="swarm.toml", environment={})


def problems(text):
    with pytest.raises(InvalidDocumentError) as caught:
        load(text)
    return [(one.line, one.what, one.mend) for one in caught.value.problems]


def channel(rows, head=HEAD):
    return f'{head}[[notify.channels]]\nname = "one"\n{rows}\n'


def test_without_configuration_the_terminal_alone_is_used():
    notify = load(HEAD).notify
    assert [one.kind for one in notify.channels] == ["terminal"]
    assert notify.channels[0].severity is Severity.WARNING
    assert notify.quiet_hours is None
    assert notify.escalate_after_s is None


def test_everything_that_can_be_written():
    notify = load(FULL).notify
    assert [one.kind for one in notify.channels] == ["desktop", "email", "webhook", "slack", "command"]
    assert notify.escalate_after_s == 900
    assert notify.quiet_hours is not None
    assert str(notify.quiet_hours.zone) == "Europe/Berlin"
    assert notify.channels[1].number == 587
    assert notify.secret_variables == {"MAIL_PASSWORD", "HOOK_SECRET", "SLACK_URL"}


def test_it_is_stored_beside_a_swarm_and_read_again():
    options = SwarmOptions(config=load(FULL), model="m", agents=1)
    assert from_json(to_json(options)) == options


@pytest.mark.parametrize(
    ("rows", "line", "what", "mend"),
    [
        ('kind = "pigeon"', 4, "notify.channels is of an unknown kind", "desktop"),
        ('severity = "info"', 4, "notify.channels has no kind", "desktop"),
        ('kind = "terminal"\nseverity = "loud"', 7, "notify.channels.severity", "configuration"),
        ('kind = "terminal"\nabout = ["task.block"]', 7, "there is no notice 'task.block'", "configuration"),
        ('kind = "desktop"\nhots = "x"', 7, "unknown key notify.channels.hots", "known here"),
        ('kind = "command"', 4, "notify.channels.argv is missing", "add argv"),
        ('kind = "command"\nargv = "page"', 7, "notify.channels.argv: must be a list", "configuration"),
        ('kind = "command"\nargv = []', 7, "notify.channels.argv", "configuration"),
        ('kind = "webhook"', 4, "write one of url, url_env and url_file", "configuration"),
        ('kind = "webhook"\nurl = "https://a:b@example.com/"', 4, "url holds a user or password", "configuration"),
        ('kind = "webhook"\nurl_env = "A"\nsecret = "hunter2"', 8, "unknown key notify.channels.secret", "secret_env"),
        ('kind = "slack"\nurl = "https://hooks.slack.com/hunter2"', 7, "unknown key notify.channels.url", "url_env"),
        ('kind = "email"\nhost = "h"\nfrom = "a@b"\nto = ["c@d"]\npassword = "hunter2"', 10, "unknown key", "password_env"),
        ('kind = "email"\nhost = "h"\nfrom = "a@b"\nto = ["nobody"]', 9, "notify.channels.to", "configuration"),
        ('kind = "email"\nhost = "h"\nfrom = "a@b\\nBcc: x@y"\nto = ["c@d"]', 8, "notify.channels.from", "configuration"),
        ('kind = "email"\nhost = "h"\nfrom = "a@b"\nto = ["Doe, Jane <c@d>"]', 9, "notify.channels.to", "configuration"),
        ('kind = "email"\nhost = "h"\nfrom = "a@b"\nto = ["c@d>"]', 9, "notify.channels.to", "configuration"),
        ('kind = "email"\nhost = "h"\nfrom = "a@[x"\nto = ["c@d"]', 8, "notify.channels.from", "configuration"),
        ('kind = "email"\nhost = "h"\nfrom = "a@b"\nto = ["c@d"]\nuser = "u"', 4, "a login takes both", "configuration"),
        ('kind = "email"\nhost = "h"\nfrom = "a@b"\nto = ["c@d"]\nuser = "u"\npassword_env = "P"\nsecurity = "none"', 4, "not sent in the open", "configuration"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_channel_names_its_line_and_mend_and_shows_no_secret(rows, line, what, mend):
    found = problems(channel(rows))
    assert any(one[0] == line and what in one[1] and mend in one[2] for one in found), found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "address", ["a@b.c", "J. Doe <j@x.de>", "Jürgen Müller <j-m+x@x.de>", '\\"Doe, Jane\\" <a@b.c>']
)
def test_an_address_may_have_a_name(address):
    rows = f'kind = "email"\nhost = "h"\nfrom = "a@b"\nto = ["{address}"]'
    assert load(channel(rows)).notify.channels[0].to == (address.replace("\\", ""),)


def test_what_a_command_reads_from_its_notice_is_left_to_it():
    rows = 'kind = "command"\nargv = ["sh", "-c", "echo ${SWARM_NOTICE_TITLE}"]'
    assert load(channel(rows)).notify.channels[0].argv[2] == "echo ${SWARM_NOTICE_TITLE}"


def test_the_line_is_that_of_the_channel_meant():
    text = channel('kind = "terminal"') + '[[notify.channels]]\nname = "two"\nkind = "command"\nargv = "page"\n'
    assert [one[0] for one in problems(text)] == [10]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ('quiet = "22-7"', "two times of the day"),
        ('quiet = "22:00-22:00"', "the same time"),
        ('quiet = "24:00-07:00"', "two times of the day"),
        ('quiet = "22:00-07:00"\ntimezone = "Mars/Base"', "there is no time zone"),
        ('quiet = "22:00-07:00"\ntimezone = "../../etc/passwd"', "there is no time zone"),
        ('timezone = "UTC"', "of no use without quiet"),
        ('escalate_after = "soon"\nescalate_to = ["one"]', "such as"),
        ('escalate_after = "8d"\nescalate_to = ["one"]', "at most 7 days"),
        ('escalate_after = "5m"', "go together"),
        ('escalate_after = "5m"\nescalate_to = ["two"]', "which is no channel"),
        ('escalate_after = "5m"\nescalate_to = ["one"]', "reaches nobody"),
    ],
)
def test_a_mistake_in_the_rules_is_explained(rows, what):
    (found,) = problems(channel('kind = "terminal"', f"{HEAD}[notify]\n{rows}\n"))
    assert what in found[1]
    assert found[0] >= 4


def test_two_channels_of_one_name():
    (found,) = problems(channel('kind = "terminal"') + '[[notify.channels]]\nname = "one"\nkind = "desktop"\n')
    assert "two channels are named 'one'" in found[1]
