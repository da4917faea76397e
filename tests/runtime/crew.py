"""A swarm of all the real programs that are installed: each does the tasks of a role of its own name, with a model of the kind
of provider that it speaks with.
"""

from __future__ import annotations

import pytest

from tests.runtime.agents import installed, program
from tests.runtime.drives import DRIVES
from tests.scenario.driver import GATES, Site, job
from tests.scenario.harness import plan

KINDS = ("openai", "anthropic", "google")
SCRIPTED = "scripted"


def crew(least=1):
    """The drives of the programs that are here; skips, and says so, where they are fewer."""
    here = [drive for drive in DRIVES.values() if installed(drive.name)]
    if len(here) < least:
        missing = ", ".join(name for name in DRIVES if not installed(name))
        pytest.skip(f"LEFT OUT: {least} programs of agents are wanted here; make test-agents installs {missing}")
    return here


def task_for(drive):
    return job(drive.name, role=drive.name)


def crew_site(folder, model, drives, more=""):
    site = Site(folder / "site", model.base_url, plan(*map(task_for, drives)), agents=len(drives))
    (site.root / "swarm.toml").write_text(configuration(model, drives, more))
    return site


def configuration(model, drives, more):
    address = model.base_url.removesuffix("/v1")
    urls = {"openai": f"{address}/v1", "anthropic": address, "google": address}
    providers = [
        f'[providers.{kind}]\nkind = "{kind}"\nbase_url = "{urls[kind]}"\nkey_env = "OPENAI_API_KEY"\n'
        f'[prices."{kind}:{SCRIPTED}"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 10\n'
        for kind in KINDS
    ]
    return "\n".join([
        f'[project]\nname = "site"\n[models]\ndefault = "openai:{SCRIPTED}"\n[models.kinds]',
        *(f'{drive.name} = "{drive.kind}:{SCRIPTED}"' for drive in drives),
        f"[agents]\ncount = {len(drives)}\nanswer_wait_s = 0.5\n[agents.runtimes]",
        *(f'{drive.name} = "{drive.name}"' for drive in drives),
        *(f'[runtimes.{drive.name}]\nprogram = "{program(drive.name)}"' for drive in drives),
        *providers,
        GATES,
        more,
    ])  # fmt: skip
