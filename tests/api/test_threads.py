"""A request is answered on the event loop: each function that is not asynchronous would cost it a thread's turn there and back."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from fastapi.dependencies.utils import get_dependant
from fastapi.routing import APIRoute

import swarmworks.api
from swarmworks.api import app


def called(dependant):
    yield dependant.call
    for each in dependant.dependencies:
        yield from called(each)


def test_no_request_waits_for_a_thread():
    modules = [
        importlib.import_module(f"swarmworks.api.{found.name}")
        for found in pkgutil.iter_modules(swarmworks.api.__path__)
    ]
    routes = [route for module in modules if hasattr(module, "router") for route in module.router.routes]
    dependants = [route.dependant for route in routes if isinstance(route, APIRoute)]
    dependants += [get_dependant(path="", call=call) for call in (app.operator_only, app.worker_only)]
    assert len(dependants) > 40
    assert {
        call.__qualname__ for each in dependants for call in called(each) if not inspect.iscoroutinefunction(call)
    } == set()
