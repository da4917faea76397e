"""A model that writes each owned file and hands in: an OpenAI-compatible server on loopback, for whole runs."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSED = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}


class WritingModel:
    """Counts its calls. `hold` makes every answer wait until `release` is called."""

    def __init__(self) -> None:
        self.requests: list[dict] = []
        self._gate = threading.Event()
        self._gate.set()
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                model.requests.append(body)
                model.came()
                model._gate.wait(60)
                status, headers = model.refusal(self.headers["authorization"])
                self._answer(model.answer(body) if status == 200 else REFUSED, status, headers)

            def do_GET(self):
                self._answer({"object": "list", "data": [{"id": "writer", "object": "model"}]})

            def _answer(self, payload, status=200, headers=()):
                data = json.dumps(payload).encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def came(self) -> None:
        """A request was received; nothing is answered yet."""

    def refusal(self, authorization: str) -> tuple[int, list[tuple[str, str]]]:
        """The status of the next answer, and its headers."""
        del authorization
        return 200, []

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: dict) -> dict:
        messages = body["messages"]
        prompt = next(_text(m) for m in messages if m["role"] == "user")
        owned = re.search(r"^## Files you own\n+((?:- .*\n?)+)", prompt, re.MULTILINE)
        paths = [line[2:].strip() for line in owned.group(1).splitlines()] if owned else []
        done = sum(1 for m in messages if m["role"] == "tool")
        if done < len(paths):
            calls = [_call(done, "write_file", {"path": paths[done], "content": f"written for {paths[done]}\n"})]
        else:
            changed = [{"path": path, "what": "written"} for path in paths]
            outcome = "submitted" if paths else "nothing_to_do"
            calls = [_call(done, "hand_in", {"outcome": outcome, "done": "wrote it", "changed": changed})]
        return {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls",
                    "message": {"role": "assistant", "content": None, "tool_calls": calls},
                }
            ],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        }


def _text(message: dict) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _call(number: int, name: str, arguments: dict) -> dict:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{number}", "type": "function", "function": function}
