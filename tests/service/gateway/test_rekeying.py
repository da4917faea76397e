"""A provider's key that is set anew while calls are made: the next call shows it, whatever became of the one before."""

import asyncio
import contextlib
import json

from swarmworks.base.clock import ManualClock
from swarmworks.domain.provider import Outage
from swarmworks.service.gateway.record import ProviderAccount
from swarmworks.service.gateway.record import Upstream as UpstreamAddress
from swarmworks.service.secrets import SecretKeeping, SecretWatch
from swarmworks.store.key_file import GivenKeys, KeyFile
from tests.service.gateway.plant import plant
from tests.service.gateway.test_budget import until
from tests.service.gateway.test_providers import keys
from tests.service.gateway.upstream import Answer

OLD, NEW = "sk-the-old-key", "sk-the-new-key"
SEALING = GivenKeys((b"1" * 32).hex(), "SEALING")


def providers(url):
    accounts = (ProviderAccount("one", OLD), ProviderAccount("two", OLD))
    return {"p": UpstreamAddress("p", "openai", url, accounts=accounts)}


@contextlib.asynccontextmanager
async def watched(**more):
    """The account `one` of `p` has the secret `odd` as its key."""
    async with plant(clock=ManualClock(), **more) as p:
        secrets = SecretKeeping(p.store, SEALING)
        await secrets.set("odd", OLD, "person:ada")
        yield p, secrets, SecretWatch(secrets, {"odd"}, lambda _name, key: p.gateway.rekey("p", "one", key))


async def test_a_key_that_was_refused_and_set_anew_is_shown_by_the_next_call():
    async with watched() as (p, secrets, watch):
        changes = []
        p.gateway.accounts.changed = changes.append
        await watch.look()
        p.upstream.script = lambda number, body: Answer(status=401) if number == 0 else Answer()
        assert [(await p.ask("openai"))[0] for _ in range(2)] == [403, 403]
        assert len(p.upstream.received) == 1
        await watch.look()
        assert (await p.ask("openai"))[0] == 403  # the same key is not tried again
        await secrets.set("odd", NEW, "person:ada")
        await watch.look()
        assert (await p.ask("openai"))[0] == 200
        assert keys(p)[-1] == f"Bearer {NEW}"
        assert [change.outage for change in changes] == [Outage.KEY_REFUSED, None]


async def test_only_the_account_that_has_the_secret_gets_another_key():
    async with watched(providers=providers, sessions=2) as (p, secrets, watch):
        await secrets.set("odd", NEW, "person:ada")
        await watch.look()
        gate = asyncio.Event()
        p.upstream.script = lambda number, body: Answer(gate=gate)
        asking = [asyncio.create_task(p.ask("openai", token=token)) for token in p.tokens]
        await p.upstream.streaming.wait()
        gate.set()
        assert [answer[0] for answer in await asyncio.gather(*asking)] == [200, 200]
        assert sorted(keys(p)) == [f"Bearer {NEW}", f"Bearer {OLD}"]


async def test_a_call_that_was_refused_with_the_old_key_says_nothing_of_the_new_one():
    """The old key was taken back at the provider before the new one was here: the call itself goes on with the new one."""
    async with watched() as (p, secrets, watch):
        await watch.look()
        gate = asyncio.Event()
        p.upstream.script = lambda number, body: Answer(status=401, hang=True) if number == 0 else Answer(gate=gate)
        asking = asyncio.create_task(p.ask("openai"))
        await until(lambda: p.upstream.received)
        await secrets.set("odd", NEW, "person:ada")
        await watch.look()
        p.upstream._release.set()
        gate.set()
        assert (await asking)[0] == 200
        assert len(keys(p)) == 2
        assert keys(p)[-1] == f"Bearer {NEW}"


async def test_an_answer_that_repeats_the_new_key_does_not_show_it():
    async with watched() as (p, secrets, watch):
        await secrets.set("odd", NEW, "person:ada")
        await watch.look()
        p.upstream.script = lambda number, body: Answer(texts=(f"the key is {NEW}",))
        status, body, _headers = await p.ask("openai")
        assert (status, NEW.encode() in body, b"[key]" in body) == (200, False, True)


async def test_a_secret_that_is_gone_or_does_not_open_leaves_the_key_there_is(caplog):
    async with watched() as (p, secrets, watch):
        await watch.look()
        other = SecretKeeping(p.store, GivenKeys((b"2" * 32).hex(), "SEALING"))
        await other.set("odd", NEW, "person:ada")
        for _ in range(3):
            await watch.look()
        assert (await p.ask("openai"))[0] == 200
        await secrets.remove("odd", "person:ada")
        await watch.look()
        assert (await p.ask("openai"))[0] == 200
        assert keys(p) == [f"Bearer {OLD}"] * 2
        told = [record.getMessage() for record in caplog.records if "secret odd" in record.getMessage()]
        assert len(told) == 1
        assert NEW not in json.dumps(told)


async def test_a_rotation_of_the_sealing_key_changes_no_key():
    async with watched() as (p, _secrets, watch):
        await watch.look()
        both = SecretKeeping(p.store, GivenKeys(f"{(b'1' * 32).hex()},{(b'2' * 32).hex()}", "SEALING"))
        told = []
        watching = SecretWatch(both, {"odd"}, lambda _name, key: told.append(key))
        await watching.look()
        await both.rotate("person:ada")
        await watching.look()
        await watching.look()
        assert told == [OLD, OLD]
        assert (await p.ask("openai"))[0] == 200


async def test_what_a_key_sealed_opens_once_the_key_is_back(tmp_path, caplog):
    ring = KeyFile(tmp_path / "config" / "secrets.key")
    ring.make()
    async with watched() as (p, _secrets, _watch):
        keeping, told = SecretKeeping(p.store, ring), []
        await keeping.set("other", NEW, "person:ada")
        watching = SecretWatch(keeping, {"other"}, lambda _name, key: told.append(key))
        away = (tmp_path / "config" / "secrets.key").rename(tmp_path / "away")
        await watching.look()
        await watching.look()
        assert told == []
        assert len([record for record in caplog.records if "secret other" in record.getMessage()]) == 1
        away.rename(tmp_path / "config" / "secrets.key")
        await watching.look()
        await watching.look()
        assert told == [NEW]
