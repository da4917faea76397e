"""From the configuration to the key a provider is called with, or to the reason why there is none."""

from __future__ import annotations

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import InvalidDocumentError, UsageError
from swarmworks.base.ids import SequentialIds
from swarmworks.policy.subscription import Window
from swarmworks.service.secrets import SecretKeeping
from swarmworks.settings import clean_environment, providers
from swarmworks.store.key_file import KeyFile
from swarmworks.wire.config_file import load_config
from swarmworks.wiring.models import check_model, upstreams, with_secrets
from tests.stores import open_test_store

CANARY = "sk-canary-0123456789"
SMALL = 'gates = "none"\n[project]\nname = "shop"\n[providers.p]\nkind = "openai"\n'


def config(more):
    return load_config(SMALL + more, name="swarm.toml", environment={})


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_can_read_is_refused(tmp_path, mode):
    file = tmp_path / "key"
    file.write_text(f"{CANARY}\n")
    file.chmod(mode)
    account = providers(config(f'key_file = "{file}"'))["p"]
    assert account.key is None
    with pytest.raises(UsageError, match=f"others can read it .mode {mode:03o}.: chmod 600") as refused:
        check_model("p:m", {"p": account})
    assert CANARY not in str(refused.value)
    file.chmod(0o600)
    assert providers(config(f'key_file = "{file}"'))["p"].key == CANARY


def test_what_is_no_key_is_refused_before_it_is_sent_anywhere(monkeypatch):
    monkeypatch.setenv("ODD", f"{CANARY}\nhost: evil")
    account = providers(config('key_env = "ODD"'))["p"]
    with pytest.raises(UsageError, match="no key but several lines") as refused:
        check_model("p:m", {"p": account})
    assert CANARY not in str(refused.value)


async def test_a_sealed_key_is_opened_at_the_start_or_the_start_is_refused(tmp_path):
    store = await open_test_store(tmp_path / "state.db", ManualClock(), SequentialIds())
    keys = KeyFile(tmp_path / "secrets.key")
    keys.make()
    keeping, accounts = SecretKeeping(store, keys), providers(config('key_secret = "odd"'))
    with pytest.raises(UsageError, match="the key of p: no such secret") as refused:
        await with_secrets(accounts, keeping)
    assert refused.value.mend == "swarm secret set odd"
    await keeping.set("odd", CANARY, "person:ada")
    opened = await with_secrets(accounts, keeping)
    assert opened["p"].key == CANARY
    assert CANARY not in repr(opened)
    other = KeyFile(tmp_path / "other.key")
    other.make()
    with pytest.raises(UsageError, match="the key of p: it was sealed with key"):
        await with_secrets(accounts, SecretKeeping(store, other))
    await store.close()


def test_no_child_process_is_given_a_key(monkeypatch):
    for name in ("ODD", "SWARM_SECRETS_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, CANARY)
    assert CANARY not in clean_environment(config('key_env = "ODD"')).values()


def test_a_subscription_has_windows_and_windows_have_limits():
    plan = 'billing = "subscription"\nthroughput = [{ window_s = 60, tokens = 9 }, { window_s = 1, requests = 2 }]'
    found = providers(config(plan))["p"].subscription
    assert (found.provider, found.windows) == ("p", (Window(60, None, 9), Window(1, 2, None)))
    assert providers(config(""))["p"].subscription is None
    for wrong, told in (
        ('billing = "subscription"', "limited by throughput"),
        ("throughput = [{ window_s = 60, tokens = 9 }]", "throughput limits a subscription"),
        ('billing = "subscription"\nthroughput = [{ window_s = 60 }]', "limits requests, tokens or both"),
        ('key_env = "A"\nkey_secret = "B"', "exclude each other"),
    ):
        with pytest.raises(InvalidDocumentError) as refused:
            config(wrong)
        assert told in str(refused.value)


async def test_each_of_several_accounts_can_have_a_sealed_key_and_one_that_others_can_read_is_refused(tmp_path):
    keys = KeyFile(tmp_path / "secrets.key")
    keys.make()
    both = '[providers.p.accounts.a]\nkey_secret = "odd"\n[providers.p.accounts.b]\n'
    accounts = providers(config(f'{both}key_env = "ODD"'))
    store = await open_test_store(tmp_path / "state.db", ManualClock(), SequentialIds())
    keeping = SecretKeeping(store, keys)
    with pytest.raises(UsageError, match="the key of p/a: no such secret"):
        await with_secrets(accounts, keeping)
    await keeping.set("odd", CANARY, "person:ada")
    found = upstreams(await with_secrets(accounts, keeping), "http://127.0.0.1/v1")["p"]
    await store.close()
    assert [(one.name, one.key) for one in found.accounts] == [("a", CANARY), ("b", None)]
    file = tmp_path / "key"
    file.write_text("another\n")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="the key of p/b is not used: others can read it"):
        check_model("p:m", providers(config(f'{both}key_file = "{file}"')))
