"""The LiteLLM proxy from PyPI in `.venv-bench`, between the clients and the provider of a measurement: no database, no budgets,
no retries, one worker, and its own price list instead of one from the network.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).resolve().parents[1] / ".venv-bench" / "bin" / "litellm"
MODEL, KEY = "real-model", "sk-bench"
READY_S = 120.0


@contextlib.contextmanager
def litellm(folder: str, provider_url: str) -> Iterator[tuple[str, psutil.Process] | None]:
    """Its address and process; None when it is not installed."""
    if not PROGRAM.exists():
        yield None
        return
    config, log = Path(folder) / "litellm.yaml", Path(folder) / "litellm.log"
    asked = {"model": f"openai/{MODEL}", "api_base": f"{provider_url}/v1", "api_key": "sk-none"}
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": asked}],
        "litellm_settings": {"num_retries": 0, "telemetry": False},
        "general_settings": {"master_key": KEY},
    }
    config.write_text(json.dumps(settings))  # which YAML reads too
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    argv = [PROGRAM, "--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with log.open("w") as said:
        child = subprocess.Popen(argv, cwd=folder, env=environment, stdout=said, stderr=said)
    try:
        url = f"http://127.0.0.1:{port}"
        _answering(url, child, log)
        yield url, psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait()


def _answering(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/health/liveliness", timeout=5).close()
        except (urllib.error.URLError, OSError):
            if child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the LiteLLM proxy did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.2)
        else:
            return
