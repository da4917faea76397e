"""The platform's tools for agents, put together: what a sandbox's listener answers beside the gateway."""

from __future__ import annotations

from collections.abc import Callable

from swarmworks.api.agent_tools import AgentServices, AgentTools
from swarmworks.api.control_plane import ControlPlaneServices
from swarmworks.api.mcp import McpServer
from swarmworks.base.ids import SessionId
from swarmworks.service.handing_over import HandingOver
from swarmworks.service.mailing import Mailing
from swarmworks.service.scoping import Scoping
from swarmworks.service.task_record import TaskRecord


def agents_tools(services: ControlPlaneServices, handed_in: Callable[[SessionId], None]) -> McpServer:
    store, ids, conversing = services.store, services.ids, services.conversing
    behind = AgentServices(
        conversing=conversing,
        mailing=Mailing(store, ids),
        scoping=Scoping(store, ids),
        record=TaskRecord(store),
        handing_over=HandingOver(store),
        waking=services.waking,
    )
    return McpServer(conversing, AgentTools(behind, handed_in))
