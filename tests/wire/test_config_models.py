import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.provider import AccountLimits
from swarmworks.settings import clean_environment, providers
from swarmworks.wire.config_file import load_config

START = 'gates = "none"\n[project]\nname = "shop"\n'
PROVIDERS = '[providers.anthropic]\nkind = "anthropic"\n[providers.openai]\nkind = "openai"\n'


def load(text):
    return load_config(START + text, name="swarm.toml", environment={})


def test_a_tier_is_one_model_or_a_list_and_the_default_may_name_it():
    models = load(
        '[models]\ndefault = "mid"\nfrontier = ["anthropic:opus", "openai:gpt"]\nmid = "openai:mini"\n' + PROVIDERS
    ).models
    assert models.tiers == {"frontier": ("anthropic:opus", "openai:gpt"), "mid": ("openai:mini",)}
    assert models.chain("frontier") == ("anthropic:opus", "openai:gpt")
    assert models.chain("openai:gpt") == ("openai:gpt",)
    assert models.chain("rehearsal") == ("rehearsal:rehearsal",)


def test_kinds_have_defaults_where_the_default_is_a_tier():
    tiers = 'frontier = "openai:gpt"\nmid = "openai:mini"\n'
    assert load(f'[models]\ndefault = "mid"\n{tiers}{PROVIDERS}').models.by_kind() == {"plan": "frontier"}
    assert load(f'[models]\ndefault = "openai:mini"\n{tiers}{PROVIDERS}').models.by_kind() == {}
    own = load(f'[models]\ndefault = "mid"\n{tiers}[models.kinds]\nplan = "mid"\ntester = "rehearsal"\n{PROVIDERS}')
    assert own.models.by_kind() == {"plan": "mid", "tester": "rehearsal:rehearsal"}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ('default = "mid"', "default asks for the tier mid: add mid ="),
        ('mid = ["gpt-5"]', "'gpt-5' is neither"),
        ('mid = ["openai:a", "openai:a"]', "the same model stands twice"),
        ('mid = "nobody:a"', "models.mid names the provider 'nobody'"),
        ('[models.kinds]\nplan = "frontier"', "plan asks for the tier frontier"),
        ('[models.kinds]\nplan = "nobody:a"', "models.kinds.plan names the provider 'nobody'"),
    ],
)
def test_what_cannot_be_had_is_refused_in_words(models, said):
    with pytest.raises(InvalidDocumentError, match=said):
        load(f"[models]\n{models}\n{PROVIDERS}")


def test_a_reviews_model_may_be_a_tier_that_is_there():
    review = '[[review]]\nname = "look"\non = "change"\nquestion = "?"\nmodel = "mid"\n'
    gates = 'gates = "none"\n'
    assert load(f'[models]\nmid = "openai:a"\n{PROVIDERS}{review}').review.all_gates()[0].model == "mid"
    with pytest.raises(InvalidDocumentError, match="asks for the tier mid"):
        load(PROVIDERS + review)
    assert gates in START


def test_accounts_have_a_key_each_and_limits_of_their_own_or_the_providers(monkeypatch):
    monkeypatch.setenv("KEY_ONE", "sk-1")
    monkeypatch.setenv("KEY_TWO", "sk-2")
    config = load(
        '[providers.openai]\nkind = "openai"\nrequests_per_minute = 50\n'
        '[providers.openai.accounts.one]\nkey_env = "KEY_ONE"\n'
        '[providers.openai.accounts.two]\nkey_env = "KEY_TWO"\ntokens_per_minute = 1000\n'
    )
    one, two = providers(config)["openai"].keys
    assert (one.name, one.key, one.limits) == ("one", "sk-1", AccountLimits(requests_per_minute=50))
    assert (two.name, two.key, two.limits) == ("two", "sk-2", AccountLimits(tokens_per_minute=1_000))
    assert not {"KEY_ONE", "KEY_TWO"} & set(clean_environment(config))
    assert "sk-1" not in repr(providers(config))


def test_a_provider_without_accounts_has_one_as_ever(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    [only] = providers(load('[providers.openai]\nkind = "openai"\n'))["openai"].keys
    assert (only.name, only.key) == ("", "sk-1")


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ('key_env = "A"\n[providers.p.accounts.one]\nkey_env = "B"', "each of them names its own key"),
        ("[providers.p.accounts.one]\nrequests_per_minute = 5", "one of key_env, key_file and key_secret"),
        ('[providers.p.accounts.one]\nkey = "sk-1"', "key_env"),
        ('[providers.p.accounts.one]\nkey_env = "B"\nrequests_per_minute = 0', "greater than 0"),
    ],
)
def test_accounts_that_make_no_sense_are_refused(provider, said):
    with pytest.raises(InvalidDocumentError, match=said) as refused:
        load(f'[providers.p]\nkind = "openai"\n{provider}\n')
    assert "sk-1" not in str(refused.value)
