from tests.store.conformance import *  # noqa: F403
