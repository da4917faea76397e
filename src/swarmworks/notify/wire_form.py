"""A dispatch as JSON: what commands and webhooks are given. Version 1; keys are only ever added."""

from __future__ import annotations

from typing import Any

from swarmworks.domain.notice import Notice
from swarmworks.notify.protocol import Dispatch


def as_json(dispatch: Dispatch) -> dict[str, Any]:
    return {
        "version": 1,
        "id": dispatch.key,
        "project": dispatch.project,
        "severity": str(dispatch.severity),
        "title": dispatch.title,
        "text": dispatch.text,
        "more": dispatch.more,
        "notices": [_one(notice) for notice in dispatch.notices],
    }


def _one(notice: Notice) -> dict[str, Any]:
    item = {"kind": str(notice.item.kind), "id": notice.item.id} if notice.item is not None else None
    return {
        "kind": notice.kind,
        "swarm": notice.swarm_id,
        "event": notice.seq,
        "at": notice.at.isoformat(),
        "severity": str(notice.severity),
        "title": notice.title,
        "text": notice.text,
        "command": notice.command,
        "item": item,
    }
