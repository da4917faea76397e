"""A database's address is read as libpq reads it, or refused; no password of it is ever printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.wire.config_file import load_config
from swarmworks.wire.database_address import UNNAMED, holds_password, is_address, without_password

SHOWN = {
    "postgresql://u:geheim@h:5432/db": "postgresql://u@h:5432/db",
    "postgres://u:ge#he?im@h/db": "postgresql://u@h/db",
    "postgresql://u:ge%2Fheim@[::1]:5432/db?sslmode=require": "postgresql://u@[::1]:5432/db?sslmode=require",
    "postgresql://u@h/db?password=geheim": "postgresql://u@h/db",
    "postgresql://u@h/db?sslmode=require&passw%6Frd=geheim": "postgresql://u@h/db?sslmode=require",
    "postgresql://u@h/db?sslpassword=geheim": "postgresql://u@h/db",
    "postgresql://u:geheim@a:1,b:2/db": "postgresql://u@a:1,b:2/db",
    "postgresql:///db?host=/run/geh&password=geheim": "postgresql:///db?host=/run/geh",
}
UNREADABLE = [
    "postgresql://u:ge/heim@h",
    "postgresql://u:12/heim@h/db",
    "postgresql://u:ge@heim@h/db",
    "postgresql://u:12/ge?heim@h",
    "postgresql://u:12/ge?heim=x@h",
    "postgresql://u:%geheim@h/db",
    "postgresql://u:geheim@h/db\n",
    "postgresql://[geheim/db",
    "postgresql://u@h:geheim/db",
    "postgresql://u:geheim@h:70000/db",
    "postgresql://u:geheim@h:0/db",
    "postgresql://u:geheim@h",
    "mysql://u:geheim@h/db",
    "geheim",
]
LETTERS = st.text("ab1:/@?#,[]=&", max_size=8)


@pytest.mark.parametrize(("address", "shown"), SHOWN.items())
def test_what_is_printed_of_an_address_names_the_database_and_no_password(address, shown):
    assert is_address(address)
    assert without_password(address) == shown
    assert holds_password(address)


def test_an_address_without_a_password_is_printed_as_it_is():
    address = "postgresql://u@a:1,b:2/db?sslmode=require"
    assert not holds_password(address)
    assert without_password(address) == address


@pytest.mark.parametrize("address", UNREADABLE)
def test_one_that_is_not_read_as_it_was_meant_is_refused_and_nothing_of_it_printed(address):
    assert not is_address(address)
    assert without_password(address) == UNNAMED


@given(LETTERS, LETTERS, LETTERS)
def test_what_is_taken_is_what_libpq_connects_to(user, password, database):
    address = f"postgresql://{user}:{password}@h:5/{database}"
    if is_address(address) and "?" not in database:
        read = conninfo_to_dict(address)
        name = f"{read['user']}@" if "user" in read else ""
        assert without_password(address) == f"postgresql://{name}{read['host']}:{read['port']}/{read['dbname']}"
        assert holds_password(address)


@pytest.mark.parametrize("key", ["url", "listen_url"])
@pytest.mark.parametrize("address", [*SHOWN, *UNREADABLE])
def test_the_file_holds_no_password_and_no_unreadable_address(key, address):
    written = address.replace("\n", "\\n")
    text = f'gates = "none"\n[project]\nname = "a"\n[store]\n{key} = "{written}"\n'
    with pytest.raises(InvalidDocumentError) as caught:
        load_config(text, name="swarm.toml", environment={})
    assert "heim" not in str(caught.value)
