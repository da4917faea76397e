"""`python -m bench [--smoke]`: runs every measurement, each beside a peer or a physical limit in the same run."""

from __future__ import annotations

import argparse
import importlib
import pkgutil

import bench


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small sizes, only to see that each runs")
    parser.add_argument("names", nargs="*", help="which measurements (default: all)")
    options = parser.parse_args()
    for module in pkgutil.iter_modules(bench.__path__):
        if module.name.startswith("bench_") and (
            not options.names or module.name.removeprefix("bench_") in options.names
        ):
            print(f"== {module.name.removeprefix('bench_')}", flush=True)
            importlib.import_module(f"bench.{module.name}").run(smoke=options.smoke)


if __name__ == "__main__":
    main()
