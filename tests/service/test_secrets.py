"""Secrets are sealed with a key outside the database: nothing in it opens them, and nothing that was changed opens."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import ConflictError, NotFoundError, RejectedError, UsageError
from swarmworks.base.ids import SequentialIds, SwarmId
from swarmworks.domain.swarm import SwarmEvent
from swarmworks.service.secrets import SecretKeeping, SecretSealedError, key_id, rewrap, seal, unseal
from swarmworks.store.key_file import GivenKeys, KeyFile
from swarmworks.store.protocol import SealedSecret
from tests.store.sample import SWARM, planned, swarm_of
from tests.stores import open_test_store

CANARY = "sk-canary-0123456789"
ONE, TWO = b"1" * 32, b"2" * 32
CLOCK = ManualClock()


def sealed(name="provider", value=CANARY, key=ONE):
    return SealedSecret(name, key_id(key), seal(name, value, key), "person:ada", CLOCK.now())


@given(st.text(min_size=1, max_size=200))
def test_what_was_sealed_opens_with_its_key_alone(value):
    one = sealed(value=value)
    assert unseal(one, {key_id(ONE): ONE}) == value
    assert value not in one.envelope or len(value) < 4
    with pytest.raises(SecretSealedError, match=f"sealed with key {key_id(ONE)}, which is not here"):
        unseal(one, {key_id(TWO): TWO})
    with pytest.raises(SecretSealedError, match="not what was sealed"):
        unseal(one, {key_id(ONE): TWO})


def test_no_two_envelopes_are_alike():
    assert len({sealed().envelope for _ in range(20)}) == 20


@pytest.mark.parametrize("part", ["wrapped", "sealed"])
def test_a_single_changed_bit_anywhere_is_noticed(part):
    one = sealed()
    document = json.loads(one.envelope)
    data = base64.b64decode(document[part])
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        envelope = json.dumps({**document, part: base64.b64encode(changed).decode()})
        with pytest.raises(SecretSealedError):
            unseal(replace(one, envelope=envelope), {key_id(ONE): ONE})


@pytest.mark.parametrize("envelope", ["", "{}", "[]", '{"wrapped": "", "sealed": ""}', '{"wrapped": "é", "sealed": 3}'])
def test_what_is_no_envelope_is_said_to_be_changed(envelope):
    with pytest.raises(SecretSealedError, match="not what was sealed"):
        unseal(replace(sealed(), envelope=envelope), {key_id(ONE): ONE})


def test_an_envelope_does_not_open_under_another_name():
    with pytest.raises(SecretSealedError):
        unseal(replace(sealed("a"), name="b"), {key_id(ONE): ONE})
    mixed = json.dumps({**json.loads(sealed("a").envelope), "wrapped": json.loads(sealed("b").envelope)["wrapped"]})
    with pytest.raises(SecretSealedError):
        unseal(replace(sealed("a"), envelope=mixed), {key_id(ONE): ONE})


def test_a_new_key_wraps_the_data_key_and_leaves_the_ciphertext():
    one = sealed()
    again = replace(one, key_id=key_id(TWO), envelope=rewrap(one, {key_id(ONE): ONE}, TWO))
    assert json.loads(again.envelope)["sealed"] == json.loads(one.envelope)["sealed"]
    assert unseal(again, {key_id(TWO): TWO}) == CANARY


def test_nothing_shows_a_value_or_an_envelope():
    assert sealed().envelope not in repr(sealed())


@pytest.fixture
def keys(tmp_path):
    made = KeyFile(tmp_path / "config" / "secrets.key")
    made.make()
    return made


@pytest.fixture
async def store(tmp_path):
    opened = await open_test_store(tmp_path / "state.db", CLOCK, SequentialIds())
    await opened.transact(lambda tx: tx.insert_swarm(swarm_of(planned("a"))))
    yield opened
    await opened.close()


async def test_a_secret_is_set_listed_and_removed_with_who_did_it_on_record(store, keys, tmp_path):
    keeping = SecretKeeping(store, keys)
    await keeping.set("provider", "first", "person:ada")
    row = await keeping.set("provider", CANARY, "person:bo")
    assert await keeping.value("provider") == CANARY
    found = await keeping.secrets()
    assert found.secrets == (row,)
    assert (row.set_by, row.set_at, row.opens) == ("person:bo", CLOCK.now(), True)
    assert CANARY not in found.model_dump_json()
    await keeping.remove("provider", "person:cy")
    with pytest.raises(NotFoundError):
        await keeping.value("provider")
    with pytest.raises(NotFoundError):
        await keeping.remove("provider", "person:cy")
    events = await store.read(lambda reader: reader.events(SWARM))
    assert [(event.kind, event.actor) for event in events] == [
        ("secret.set", "person:ada"),
        ("secret.set", "person:bo"),
        ("secret.removed", "person:cy"),
    ]
    assert not any(CANARY in event.data for event in events)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes()


async def test_who_sets_and_removes_one_between_two_swarms_is_on_record_with_the_one_before(store, keys):
    later = SwarmId("swm_later")
    await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("a"), swarm_id=later)))
    for swarm_id in (SWARM, later):
        await store.transact(lambda tx, one=swarm_id: tx.move_swarm(one, SwarmEvent.STICK))
    keeping = SecretKeeping(store, keys)
    await keeping.set("provider", CANARY, "person:ada")
    await keeping.remove("provider", "person:bo")
    told = await store.read(lambda reader: [reader.events(one) for one in (SWARM, later)])
    assert [[(event.kind, event.actor) for event in events] for events in told] == [
        [],
        [("secret.set", "person:ada"), ("secret.removed", "person:bo")],
    ]


async def test_a_rotation_wraps_every_secret_anew_and_the_old_key_can_go(store, keys, tmp_path):
    keeping = SecretKeeping(store, keys)
    for name in ("a", "b"):
        await keeping.set(name, f"{CANARY}-{name}", "person:ada")
    done = await keeping.rotate("person:bo")
    assert (done.secrets, done.key_id) == (2, key_id(keys.held()[-1]))
    path = tmp_path / "config" / "secrets.key"
    path.write_text(path.read_text().splitlines()[-1] + "\n")
    assert [await keeping.value(name) for name in ("a", "b")] == [f"{CANARY}-a", f"{CANARY}-b"]
    assert all(row.opens and row.key_id == done.key_id for row in (await keeping.secrets()).secrets)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_nothing_is_rotated_while_a_secret_does_not_open(store, keys):
    keeping = SecretKeeping(store, keys)
    await keeping.set("a", CANARY, "person:ada")
    before = await store.read(lambda reader: reader.secret("a"))
    await store.transact(lambda tx: tx.put_secret("b", key_id(TWO), seal("b", "x", TWO), "person:ada"))
    with pytest.raises(SecretSealedError, match="which is not here"):
        await keeping.rotate("person:bo")
    assert len(keys.held()) == 1
    assert await store.read(lambda reader: reader.secret("a")) == before
    assert [row.opens for row in (await keeping.secrets()).secrets] == [True, False]


async def test_a_secret_that_was_set_meanwhile_is_not_written_over(store, keys):
    made = await store.transact(lambda tx: tx.put_secret("a", key_id(ONE), seal("a", "x", ONE), "person:ada"))
    await store.transact(lambda tx: tx.put_secret("a", key_id(ONE), seal("a", "y", ONE), "person:ada"))
    with pytest.raises(ConflictError, match="set anew meanwhile"):
        await store.transact(lambda tx: tx.rewrap_secret("a", "k", "e", expected=made.envelope))


@pytest.mark.parametrize("value", ["", "two\nlines", "x" * 16_385, "bell\a"])
async def test_what_cannot_be_a_key_is_refused_and_not_repeated(store, keys, value):
    with pytest.raises(RejectedError) as caught:
        await SecretKeeping(store, keys).set("a", value, "person:ada")
    assert not value or value not in str(caught.value)


async def test_without_a_key_nothing_is_sealed_and_none_is_made(store, tmp_path):
    file = KeyFile(tmp_path / "none.key")
    with pytest.raises(ConflictError, match="no key to seal") as caught:
        await SecretKeeping(store, file).set("a", CANARY, "person:ada")
    assert "swarm secret init" in str(caught.value)
    assert not (tmp_path / "none.key").exists()


def test_a_file_of_keys_that_others_can_use_is_refused(keys, tmp_path):
    path = tmp_path / "config" / "secrets.key"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConflictError, match="already"):
        keys.make()
    for mode in (0o640, 0o604, 0o620):
        os.chmod(path, mode)  # noqa: PTH101
        with pytest.raises(UsageError, match=f"mode {mode:03o}"):
            keys.held()
    path.chmod(0o600)
    path.write_text("not a key\n")
    with pytest.raises(UsageError, match="not the keys"):
        keys.held()


async def test_keys_of_the_environment_are_renewed_by_who_gives_them(store):
    one = SecretKeeping(store, GivenKeys(ONE.hex(), "SWARM_SECRETS_KEY"))
    await one.set("a", CANARY, "person:ada")
    with pytest.raises(ConflictError, match="only the one") as caught:
        await one.rotate("person:ada")
    assert ONE.hex() not in str(caught.value)
    both = SecretKeeping(store, GivenKeys(f"{ONE.hex()},{TWO.hex()}", "SWARM_SECRETS_KEY"))
    await both.rotate("person:ada")
    assert await SecretKeeping(store, GivenKeys(TWO.hex(), "SWARM_SECRETS_KEY")).value("a") == CANARY
    with pytest.raises(UsageError) as wrong:
        GivenKeys(f"{CANARY}", "SWARM_SECRETS_KEY")
    assert CANARY not in str(wrong.value)
