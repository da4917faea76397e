"""What the ledger must say, computed from nothing but the list of reservations: no carving, no chunks, no rows."""

from dataclasses import dataclass, field

from swarmworks.domain.budget import Amount

OPEN = ("held", "sent")


@dataclass
class Account:
    parent: str | None
    caps: tuple
    state: str = "open"
    closing: bool = False


@dataclass
class Hold:
    session: str
    reserved: tuple
    state: str
    booked: tuple = (0, 0)
    estimated: bool = False


@dataclass
class Model:
    accounts: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    peaks: dict = field(default_factory=dict)

    def chain(self, key):
        found = []
        while key is not None:
            found.append(key)
            key = self.accounts[key].parent
        return found

    def below(self, key):
        return [hold for hold in self.holds.values() if key in self.chain(hold.session)]

    def held(self, key):
        return tuple(sum(h.reserved[d] for h in self.below(key) if h.state in OPEN) for d in (0, 1))

    def spent(self, key):
        return tuple(sum(h.booked[d] for h in self.below(key)) for d in (0, 1))

    def used(self, key, d):
        return self.held(key)[d] + self.spent(key)[d]

    def committed(self, key, d):
        """A swarm with a limit has it whole: to the project, all of it is taken."""
        if not key.startswith("project"):
            return self.used(key, d)
        swarms = [name for name, account in self.accounts.items() if account.parent == key]
        return sum(self.taken(name, d) for name in swarms)

    def taken(self, swarm, d):
        account = self.accounts[swarm]
        cap = 0 if account.state == "closed" else account.caps[d] or 0
        return max(cap, self.used(swarm, d))

    def refusal(self, session, asked):
        """`conflict`, `budget` or None."""
        chain = self.chain(session)
        if any(self.accounts[key].state != "open" or self.accounts[key].closing for key in chain):
            return "conflict"
        swarm = next(key for key in chain if key.startswith("swarm"))
        for key in chain:
            for d in (0, 1):
                cap = self.accounts[key].caps[d]
                extra = asked[d]
                if key.startswith("project"):
                    whole = self.accounts[swarm].caps[d]
                    extra = 0 if whole is not None else asked[d]
                if cap is not None and self.committed(key, d) + extra > cap:
                    return "budget"
        return None

    def note_peak(self):
        for swarm, peak in self.peaks.items():
            self.peaks[swarm] = tuple(max(peak[d], self.used(swarm, d)) for d in (0, 1))

    def book(self, name, booked, *, estimated):
        hold = self.holds[name]
        over = any(booked[d] > hold.reserved[d] for d in (0, 1))
        hold.state, hold.booked, hold.estimated = "settled", booked, estimated
        if over:
            self.accounts[hold.session].state = "frozen"
            for key in self.chain(hold.session):
                caps = self.accounts[key].caps
                if any(
                    caps[d] is not None and booked[d] > hold.reserved[d] and self.committed(key, d) > caps[d]
                    for d in (0, 1)
                ):
                    self.accounts[key].state = "frozen"
        self.note_peak()
        self.settle_closings()

    def settle_closings(self):
        for _ in range(3):
            for key, account in self.accounts.items():
                children = [each for each in self.accounts.values() if each.parent == key and each.state != "closed"]
                if account.closing and not any(self.held(key)) and not children:
                    account.state, account.closing = "closed", False

    def recover(self):
        for name, hold in list(self.holds.items()):
            if hold.state == "held":
                hold.state = "freed"
            elif hold.state == "sent":
                self.book(name, hold.reserved, estimated=True)
        self.settle_closings()


def amount(pair):
    return Amount(*pair)
