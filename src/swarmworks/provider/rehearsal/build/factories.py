"""Writes `tests/factories/<resource>.py`: one function that makes a valid record, with whatever it must belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import naming
from swarmworks.provider.rehearsal.build import samples
from swarmworks.provider.rehearsal.build.imports import with_imports
from swarmworks.provider.rehearsal.resources import dotted, stem

if TYPE_CHECKING:
    from swarmworks.provider.rehearsal.build.rendering import Renderer
    from swarmworks.provider.rehearsal.resources import Neighbour, Resource


def factory_module(
    renderer: Renderer, resource: Resource, neighbours: dict[str, Neighbour], through: str, function: str
) -> str:
    """`through` is `POST /path`, or `module` when no endpoint creates the resource."""
    values = samples.examples(resource)
    lines: list[tuple[str, str]] = []
    for field in resource.written:
        if field.key in values:
            counted = samples.numbered(field, values[field.key]) if field.unique else None
            lines.append((field.key, counted or samples.literal(values[field.key])))
    needed = [
        (r.field, neighbours[r.target])
        for r in resource.references
        if r.required and r.enforced and r.target in neighbours
    ]
    source = renderer.render(
        "tests/factory.py",
        resource=resource,
        a_noun=naming.article(resource.noun),
        function=function,
        lines=lines,
        needed=needed,
        dotted=dotted,
        path=through.partition(" ")[2],
        rows=resource.alias,
        counted=any(
            "number" in expression
            for _, expression in lines
            if expression.startswith(("f", "(")) or "+ number" in expression
        ),
    )
    local: list[str] = []
    if not through.startswith("POST"):
        local = [
            f"from app.models import {stem(resource.module)} as {resource.alias}",
            f"from {dotted(resource.module)} import {resource.class_name}Create",
        ]
    return with_imports(source, local)
