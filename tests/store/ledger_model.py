"""What the ledger must say, computed from nothing but the list of reservations: no carving, no chunks, no rows."""

from dataclasses import dataclass, field

OPEN = ("held", "sent")
UNITS = (0, 1, 2)  # money, tokens, requests
PERIODS = {"day": 10, "month": 7}  # how much of 2026-01-31 names the window
NOTHING = (None, None, None)


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
    booked: tuple = (0, 0, 0)
    estimated: bool = False
    opened_at: str = ""
    beside: tuple = ()


@dataclass
class Beside:
    """An account that is not in the tree. `floor`: what was used when its limit was set last."""

    caps: tuple
    floor: tuple = (0, 0, 0)
    frozen: bool = False


@dataclass
class Windows:
    """The days or the months of the project."""

    caps: tuple = NOTHING
    newest: str = ""
    begun: bool = False


@dataclass
class Model:
    accounts: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    peaks: dict = field(default_factory=dict)
    beside: dict = field(default_factory=dict)
    windows: dict = field(default_factory=lambda: {period: Windows() for period in PERIODS})
    agents: dict = field(default_factory=dict)  # of each session, where its swarm bounds agents: name and caps

    def chain(self, key):
        found = []
        while key is not None:
            found.append(key)
            key = self.accounts[key].parent
        return found

    def below(self, key):
        return [hold for hold in self.holds.values() if key in self.chain(hold.session)]

    def held(self, key):
        return tuple(sum(h.reserved[d] for h in self.below(key) if h.state in OPEN) for d in UNITS)

    def spent(self, key):
        return tuple(sum(h.booked[d] for h in self.below(key)) for d in UNITS)

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
            for d in UNITS:
                cap = self.accounts[key].caps[d]
                extra = asked[d]
                if key.startswith("project"):
                    whole = self.accounts[swarm].caps[d]
                    extra = 0 if whole is not None else asked[d]
                if cap is not None and self.committed(key, d) + extra > cap:
                    return "budget"
        return None

    # What stands beside the tree

    def used_beside(self, key, d):
        holds = [hold for hold in self.holds.values() if key in hold.beside]
        return sum(h.reserved[d] if h.state in OPEN else h.booked[d] for h in holds)

    def held_beside(self, key):
        return tuple(
            sum(h.reserved[d] for h in self.holds.values() if key in h.beside and h.state in OPEN) for d in UNITS
        )

    def window(self, period, now):
        """The key of the window something reserved now belongs to, None where nothing is bounded."""
        windows = self.windows[period]
        return None if windows.caps == NOTHING else f"{period} shop/{max(windows.newest, now[: PERIODS[period]])}"

    def attached(self, period, key):
        """Earlier calls of the window, from when it had no limit."""
        name, windows = key.rpartition("/")[2], self.windows[period]
        if windows.begun and name == windows.newest:
            return []
        start = f"{name}-01"[:10]
        return [
            hold
            for hold in self.holds.values()
            if hold.state != "freed"
            and hold.opened_at >= start
            and not any(each.startswith(period) for each in hold.beside)
        ]

    def refusals_beside(self, session, asked, now):
        found = set()
        for period in PERIODS:
            if key := self.window(period, now):
                begins = not (self.windows[period].begun and key.endswith("/" + self.windows[period].newest))
                if not begins and self.beside[key].frozen:
                    found.add("conflict")
                more = [tuple(h.reserved if h.state in OPEN else h.booked) for h in self.attached(period, key)]
                caps = self.windows[period].caps
                for d in UNITS:
                    used = self.used_beside(key, d) + sum(each[d] for each in more) + asked[d]
                    if caps[d] is not None and used > caps[d]:
                        found.add("budget")
        if session in self.agents:
            key, caps = self.agents[session]
            if key in self.beside and self.beside[key].frozen:
                found.add("conflict")
            if any(caps[d] is not None and self.used_beside(key, d) + asked[d] > caps[d] for d in UNITS):
                found.add("budget")
        return found

    def hold(self, name, session, asked, state, now):
        keys = []
        for period in PERIODS:
            if key := self.window(period, now):
                windows = self.windows[period]
                again = self.attached(period, key)
                if not (windows.begun and key.endswith("/" + windows.newest)):
                    for each in again:
                        each.beside = (*each.beside, key)
                    windows.newest, windows.begun = key.rpartition("/")[2], True
                    self.bound(key, windows.caps)
                keys.append(key)
        if session in self.agents:
            key, caps = self.agents[session]
            self.beside.setdefault(key, Beside(caps))
            keys.append(key)
        self.holds[name] = Hold(session, asked, state, opened_at=now, beside=tuple(keys))
        self.note_peak()

    def bound(self, key, caps):
        self.beside[key] = Beside(caps, tuple(self.used_beside(key, d) for d in UNITS))

    def set_windows(self, limits):
        for period, caps in limits.items():
            windows = self.windows[period]
            if windows.caps == caps:
                continue
            windows.caps = caps
            if caps == NOTHING:
                windows.begun = False
            elif windows.begun:
                self.bound(f"{period} shop/{windows.newest}", caps)

    def freeze_beside(self, hold, *, over):
        for key in hold.beside if over else ():
            account = self.beside[key]
            for d in UNITS:
                if account.caps[d] is not None:
                    account.frozen |= self.used_beside(key, d) > max(account.caps[d], account.floor[d])

    def note_peak(self):
        for swarm, peak in self.peaks.items():
            self.peaks[swarm] = tuple(max(peak[d], self.used(swarm, d)) for d in (0, 1))

    def book(self, name, booked, *, estimated):
        hold = self.holds[name]
        over = any(booked[d] > hold.reserved[d] for d in UNITS)
        hold.state, hold.booked, hold.estimated = "settled", booked, estimated
        if over:
            self.accounts[hold.session].state = "frozen"
            for key in self.chain(hold.session):
                caps = self.accounts[key].caps
                if any(
                    caps[d] is not None and booked[d] > hold.reserved[d] and self.committed(key, d) > caps[d]
                    for d in UNITS
                ):
                    self.accounts[key].state = "frozen"
        self.freeze_beside(hold, over=over)
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
