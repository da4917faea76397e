"""For every test: the signals that people and shells send mean what they mean at a terminal, and those that take minutes are
begun first, so that two workers end at about the same time. What asyncio only logs, an exception of a task that nobody asked for,
fails the test in which it is told: in a command it is a traceback on the user's terminal.

A suite that is started in the background, or by a service, inherits that some signals are ignored; what is tested, and every
process that a test starts, would inherit it in turn.
"""

import logging
import signal

import pytest
from xdist.scheduler import LoadFileScheduling

for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)


class Forgotten(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.told = []

    def emit(self, record):
        told = self.format(record)
        if told.startswith(("Task exception was never", "Future exception was never")):
            self.told.append(told)


_forgotten = Forgotten()
logging.getLogger("asyncio").addHandler(_forgotten)


@pytest.fixture(autouse=True)
def nothing_forgotten():
    yield
    told, _forgotten.told = _forgotten.told, []
    assert not told, told


LONG = ("tests/chaos/", "tests/scenario/", "tests/docs/", "tests/service/gateway/", "tests/sandbox/", "tests/runtime/")
ONE_BY_ONE = "tests/chaos/"
"""Whole plants, each of which keeps every core busy by itself, with limits on how long things may take."""


class Plant(LoadFileScheduling):
    """A file's tests stay together, so that what a fixture made for them all is made once."""

    def _split_scope(self, nodeid):
        return ONE_BY_ONE if nodeid.startswith(ONE_BY_ONE) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return Plant(config, log)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: next((at for at, place in enumerate(LONG) if item.nodeid.startswith(place)), len(LONG)))
