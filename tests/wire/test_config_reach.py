import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.wire.config_file import load_config


def load(text):
    head = '[project]\nname = "x"\n[gates.tests]\nrun = "true"\n'
    return load_config(head + text, name="swarm.toml", environment={})


def test_nothing_is_reached_and_nobody_writes_by_default():
    config = load("")
    assert (config.role("api").reach, config.role("api").databases) == ((), ())
    assert not config.mail.concerns("api")
    assert config.context.hand_over_percent == 80


def test_a_role_names_hosts_and_databases():
    config = load(
        '[roles.api]\nreach = ["packages.test", "*.example.org", "api.test:8443"]\ndatabases = ["shop"]\n'
        '[databases.shop]\nurl_env = "SHOP_URL"\n'
    )
    assert config.role("api").reach == ("packages.test", "*.example.org", "api.test:8443")
    assert config.databases["shop"].url_env == "SHOP_URL"
    assert config.role("testing").reach == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[roles.api]\nreach = ["http://packages.test"]', "reach"),
        ('[roles.api]\nreach = ["packages.test:99999"]', "port"),
        ('[roles.api]\nreach = ["*"]', "reach"),
        ('[roles.api]\ndatabases = ["shop"]', "databases.shop"),
        ('[databases.shop]\nurl = "postgresql://u:p@h/d"', "url"),
        ('[mail]\nallow = [["api"]]', "mail"),
        ('[mail]\nallow = [["api", "all"]]', "no role"),
        ("[context]\nwindows = { gpt = 1000 }", "provider:model"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, says):
    with pytest.raises(InvalidDocumentError) as error:
        load(text)
    assert says in str(error.value)


def test_mail_goes_where_a_pair_allows_it():
    mail = load('[mail]\nallow = [["api", "testing"], ["*", "review"]]').mail
    assert mail.allows("api", "testing")
    assert not mail.allows("testing", "api")
    assert mail.allows("testing", "review")
    assert mail.concerns("testing")
