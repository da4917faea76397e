"""What answers at a sandbox's only listener: the platform's tools at their path, the model gateway at every other."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from swarmworks.api.mcp import PATH


def front(tools: ASGIApp, gateway: ASGIApp) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = tools if scope["type"] == "http" and scope["path"] == PATH else gateway
        await chosen(scope, receive, send)

    return app
