"""Who asks: the name the client gives for the person at it. It is on record with everything that person decides.

The token says that somebody may; the name says who. Until people have tokens of their own, the name is their word.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Header

from swarmworks.policy.wording import plain

MOST_NAME = 100
NOBODY = "operator"


async def _person(swarm_person: Annotated[str, Header(max_length=600)] = "") -> str:
    name = plain(unquote(swarm_person), MOST_NAME).strip()
    return f"person:{name or NOBODY}"


Person = Annotated[str, Depends(_person)]
"""`person:<name>`, for a route that acts for somebody."""
