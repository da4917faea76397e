from tests.store.conformance import *  # noqa: F403
from tests.store.conformance_prices import *  # noqa: F403
