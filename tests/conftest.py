"""For every test: the signals that people and shells send mean what they mean at a terminal.

A suite that is started in the background, or by a service, inherits that some of them are ignored; what is tested, and every
process that a test starts, would inherit it in turn.
"""

import signal

for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)
