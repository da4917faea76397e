"""Numbers in words for people: durations, money, tokens, sizes."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

NANO_USD = 1_000_000_000


def duration(seconds: float) -> str:
    """`9 s`, `4 min 12 s`, `2 h 05 min`, `3 d 04 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d} h"


def clock(seconds: float) -> str:
    """`4:12`, `1:02:05`: short and of a steady width."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def dollars(nano_usd: int) -> str:
    """Two places from a cent on, four below it, so that a small amount is never shown as nothing."""
    amount = Decimal(nano_usd) / NANO_USD
    places = Decimal("0.01") if amount == 0 or abs(amount) >= Decimal("0.01") else Decimal("0.0001")
    rounded = amount.quantize(places, ROUND_HALF_UP)
    return f"${rounded:,}" if rounded or not amount else "<$0.0001"


def tokens(count: int) -> str:
    """`940`, `12.3k`, `1.20M`."""
    if count < 1_000:
        return str(count)
    if count < 999_950:
        return f"{count / 1_000:.1f}k"
    return f"{count / 1_000_000:.2f}M"


def size(count: int) -> str:
    """`512 MiB`, `3.4 GiB`."""
    gib = count / (1 << 30)
    return f"{gib:.1f} GiB" if gib >= 1 else f"{count >> 20} MiB"


def percent(value: float) -> str:
    return f"{value:.1f} %"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 task`, `2 tasks`, `3 tries` (with `plural="tries"`)."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def plain(text: str) -> str:
    """`text` from an agent or a tool, fit for one line of a terminal: no control codes, no line breaks."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shortened(text: str, width: int) -> str:
    """Cut to `width` columns, which shows by the ellipsis."""
    if len(text) <= width:
        return text
    return text[: max(0, width - 1)].rstrip() + "…" if width > 0 else ""
