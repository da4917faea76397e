"""What a project's configuration asks of its sandboxes, in the sandbox's own terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.sandbox.protocol import OUTPUT_BYTES, ProcessLimits

if TYPE_CHECKING:
    from swarmworks.wire.config import SwarmConfig


def process_limits(config: SwarmConfig, output_bytes: int | None = None) -> ProcessLimits:
    memory = config.sandbox.memory_mb << 20
    return ProcessLimits(
        memory_bytes=memory,
        tree_memory_bytes=memory,
        disk_bytes=config.sandbox.disk_mb << 20,
        processes=config.sandbox.processes,
        output_bytes=output_bytes or OUTPUT_BYTES,
    )
