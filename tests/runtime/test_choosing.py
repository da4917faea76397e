"""A runtime that cannot work here is refused before anything is started, with the mend."""

from __future__ import annotations

import pytest

from swarmworks.base.errors import InvalidDocumentError, UsageError
from swarmworks.settings import ProviderAccount
from swarmworks.wire.config_file import load_config
from swarmworks.wiring.runtimes import fits, probed

BASE = '[project]\nname = "p"\n[gates.tests]\nrun = "true"\n'
ACCOUNTS = {
    name: ProviderAccount(name, kind, "http://x", None, "none") for name, kind in (("a", "anthropic"), ("o", "openai"))
}


def configured(text):
    return load_config(BASE + text, name="swarm.toml", environment={})


def with_program(path):
    return configured(f'[runtimes.claude]\nprogram = "{path}"\n')


def refused(config, runtime, model):
    with pytest.raises(UsageError) as found:
        fits(config, ACCOUNTS)(runtime, model)
    assert found.value.mend
    return str(found.value)


def test_every_way_not_to_fit_has_its_own_words(tmp_path):
    native = tmp_path / "claude"
    native.write_text("#!/bin/sh\n")
    config = with_program(native)
    assert "rehearsal model cannot drive claude" in refused(config, "claude", "rehearsal:rehearsal")
    assert "kind openai" in refused(config, "claude", "o:gpt")
    assert "not the native program" in refused(config, "claude", "a:sonnet")
    assert "no runtime 'codec'" in refused(config, "codec", "a:sonnet")
    assert "npm install" in refused(with_program(tmp_path / "nowhere"), "claude", "a:sonnet")
    fits(config, ACCOUNTS)("builtin", "rehearsal:rehearsal")
    fits(config, ACCOUNTS)("builtin", "o:gpt")


def test_the_probe_tells_what_is_lacking(tmp_path):
    assert "cannot be read" in probed(with_program(tmp_path / "nowhere"))["claude"].lacking


def test_an_unknown_runtime_in_the_configuration_is_refused():
    for text in ('[runtimes.codec]\nprogram = "x"\n', '[agents]\nruntime = "codec"\n'):
        with pytest.raises(InvalidDocumentError, match="runtime"):
            configured(text)
