"""An event loop whose time passes only where everybody waits: an hour of waiting takes no time."""

import asyncio
import selectors

from swarmworks.base.clock import ManualClock


class _Selector(selectors.SelectSelector):
    def __init__(self):
        super().__init__()
        self.passed = 0.0

    def select(self, timeout=None):
        if timeout is None:
            raise AssertionError("everybody waits for ever")
        self.passed += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self):
        return self._virtual.passed


class LoopClock(ManualClock):
    """The monotonic time of the running loop."""

    def monotonic(self):
        return asyncio.get_running_loop().time()


def run(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
