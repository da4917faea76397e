"""Which database holds the state, and which server hears of commits and gets schema changes."""

from __future__ import annotations

import pytest

from swarmworks.base.errors import UsageError
from swarmworks.settings import given_address, store_address
from swarmworks.wire.config_file import load_config

CONFIG = 'gates = "none"\n[project]\nname = "shop"\n'
POOLED = '[store]\nurl = "postgresql://u@pooler/old"\nlisten_url = "postgresql://u@server/old"\n'
NAMED = '[store]\nurl_env = "MY_POOLER"\nlisten_url_env = "MY_SERVER"\n'


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in ("SWARM_STORE_URL", "SWARM_STORE_LISTEN_URL", "MY_POOLER", "MY_SERVER"):
        monkeypatch.delenv(name, raising=False)


def found(section):
    address = store_address(load_config(CONFIG + section, name="swarm.toml", environment={}))
    return None if address is None else (address.url, address.listen_url)


def test_the_file_s_pooler_and_its_server_belong_together(monkeypatch):
    assert found("") is None
    assert found(POOLED) == ("postgresql://u@pooler/old", "postgresql://u@server/old")
    monkeypatch.setenv("SWARM_STORE_LISTEN_URL", "postgresql://u@moved/old")
    assert found(POOLED) == ("postgresql://u@pooler/old", "postgresql://u@moved/old")


def test_beside_another_database_of_the_environment_the_file_s_server_does_not_count(monkeypatch):
    """Its schema would be upgraded instead of the one that is used."""
    monkeypatch.setenv("SWARM_STORE_URL", "postgresql://u@pooler/new")
    assert found(POOLED) == ("postgresql://u@pooler/new", None)
    assert found(NAMED) == ("postgresql://u@pooler/new", None)
    monkeypatch.setenv("SWARM_STORE_LISTEN_URL", "postgresql://u@server/new")
    assert found(POOLED) == ("postgresql://u@pooler/new", "postgresql://u@server/new")


@pytest.mark.parametrize("variable", ["SWARM_STORE_URL", "SWARM_STORE_LISTEN_URL", "MY_POOLER", "MY_SERVER"])
@pytest.mark.parametrize(
    "address", ["postgresql://u:ge/heim@h", "postgresql://[geheim/db", "postgresql://u@h:geheim/db"]
)
def test_an_address_that_cannot_be_read_is_refused_by_its_variable_and_not_repeated(variable, address, monkeypatch):
    monkeypatch.setenv("MY_POOLER", "postgresql://u@pooler/x")
    monkeypatch.setenv("MY_SERVER", "postgresql://u@server/x")
    monkeypatch.setenv(variable, address)
    with pytest.raises(UsageError) as caught:
        found(NAMED)
    assert caught.value.where == f"environment variable {variable}"
    assert "%2F for /" in caught.value.mend
    assert "heim" not in str(caught.value)


def test_a_password_may_stand_in_a_variable_and_is_not_shown(monkeypatch):
    monkeypatch.setenv("SWARM_STORE_URL", "postgresql://u@h/db?password=geheim")
    assert found("") == ("postgresql://u@h/db?password=geheim", None)
    assert "geheim" not in repr(given_address("postgresql://u:geheim@h/db", "--to"))
