from swarmworks.cli.view.plain import PlainProgress


class Closed:
    def write(self, _text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError


class Hands:
    def __init__(self):
        self.left = 0

    def leave(self):
        self.left += 1


async def test_a_reader_that_goes_away_stops_the_swarm_in_order_and_breaks_nothing():
    hands = Hands()
    progress = PlainProgress(Closed())
    progress.steered_by(hands)
    async with progress:
        progress.say("one")
        progress.say("two")
    assert hands.left == 1
