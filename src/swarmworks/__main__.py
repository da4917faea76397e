"""`swarm`, or `python -m swarmworks`."""

from __future__ import annotations


def main() -> None:
    raise SystemExit(2)


if __name__ == "__main__":
    main()
