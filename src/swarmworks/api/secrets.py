"""Routes about secrets. None of them answers with a value."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.api.person import Person
from swarmworks.wire.secrets import RotatedSecrets, SecretNamed, SecretRow, Secrets, SetSecret

router = APIRouter(prefix="/secrets")
Services = Annotated[ControlPlaneServices, Depends(services)]


@router.get("")
async def secrets(plane: Services) -> Secrets:
    return await plane.secrets.secrets()


@router.post("/{name}/set")
async def put(name: SecretNamed, body: SetSecret, plane: Services, person: Person) -> SecretRow:
    return await plane.secrets.set(name, body.value.get_secret_value(), person)


@router.post("/{name}/remove")
async def remove(name: SecretNamed, plane: Services, person: Person) -> None:
    await plane.secrets.remove(name, person)


@router.post("/rotate")
async def rotate(plane: Services, person: Person) -> RotatedSecrets:
    return await plane.secrets.rotate(person)
