import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.policy.egress import forbidden, named, normal_host, places_of, rules_of

RULES = rules_of(["packages.test", "files.example.org:8443", "*.Hosted.org"])


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("packages.test", 443, True),
        ("packages.test", 80, True),
        ("packages.test", 22, False),
        ("packages.test.evil.com", 443, False),
        ("evilpackages.test", 443, False),
        ("sub.packages.test", 443, False),
        ("files.example.org", 8443, True),
        ("files.example.org", 443, False),
        ("a.hosted.org", 443, True),
        ("a.b.hosted.org", 443, True),
        ("hosted.org", 443, False),
        ("nothosted.org", 443, False),
    ],
)
def test_a_rule_names_a_host_and_its_ports(host, port, allowed):
    assert named(RULES, host, port) is allowed
    assert not named((), host, port)


def test_spelling_is_no_way_round():
    assert normal_host("Packages.test.") == "packages.test"
    assert normal_host("[::1]") == "::1"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.1.2", "10.1.2.3", "172.16.0.1", "192.168.1.1", "0.0.0.0", "255.255.255.255"),
        *("169.254.169.254", "100.100.100.200", "168.63.129.16", "100.64.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1"),
        *("fec0::1", "feff::1", "64:ff9b:1::808:808", "64:ff9b:1:a00:0:100::", "64:ff9b:1:ffff::1"),
        *("2002:7f00:1::", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:f5ff:fffe"),
    ],
)
def test_what_is_not_public_is_never_reached(address):
    assert forbidden([address])
    assert forbidden(["8.8.8.8", address]), "one bad address among good ones is enough"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are(address):
    assert forbidden([address]) is None


def test_a_name_without_an_address_is_not_reached():
    assert forbidden([])


def test_who_runs_the_worker_says_where_a_host_is():
    found = places_of("Mirror.test = 10.1.2.3:8080, docs.test=::1,a.test=[fd00::7]:81, b.test=127.0.0.1")
    assert [(host, place.address, place.port) for host, place in found.items()] == [
        ("mirror.test", "10.1.2.3", 8080),
        ("docs.test", "::1", None),
        ("a.test", "fd00::7", 81),
        ("b.test", "127.0.0.1", None),
    ]
    assert places_of(" ") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *(("mirror.test", "is not host=address"), ("mirror.test=other.test", "is not host=address")),
        *(("=10.0.0.1", "names no host"), ("m.test=10.0.0.1:0", "no port"), ("m.test=10.0.0.1:99999", "no port")),
        ("m.test=10.0.0", "is not host=address"),
        *(("m.test=169.254.169.254", "a cloud's own"), ("m.test=169.254.1.1", "no host's"), ("m.test=::", "no host's")),
        ("m.test=::ffff:169.254.169.254", "a cloud's own"),
    ],
)
def test_what_is_said_wrongly_of_hosts_or_never_reached_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        places_of(text)


@given(st.ip_addresses(v=4))
def test_what_is_private_stays_so_however_it_is_wrapped(address):
    if forbidden([str(address)]):
        assert forbidden([f"::ffff:{address}"])
        assert forbidden([f"64:ff9b::{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"])
