"""A model server that answers from a script, in every wire format, streamed or not. It records every request.

    with ScriptedModel([say("hello"), call("read_file", path="a.py")]) as model: ...

The script is a list of answers or a function from the recorded request to an answer. An answer is `Answer` (words and
tool calls), `Refuse` (an HTTP error), `Raw` (any bytes), `Stall` (silence until the server stops) or `Hang` (the
connection is cut without a word).
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

from tests.agent.scripted_formats import gemini, gemini_stream, responses, responses_stream


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: object  # a text is sent as it is


@dataclass(frozen=True)
class Answer:
    text: str = ""
    calls: tuple[Call, ...] = ()
    cut: bool = False  # stopped at the output limit
    stream_cut: bool = False  # the stream ends before its end
    usage: dict | None = None  # as the format has it


@dataclass(frozen=True)
class Refuse:
    status: int
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Stall:
    pass


@dataclass(frozen=True)
class Hang:
    pass


@dataclass(frozen=True)
class Recorded:
    path: str
    headers: dict[str, str]
    body: dict
    client: tuple[str, int]


def say(text):
    return Answer(text=text)


def call(tool, **arguments):
    return Answer(calls=(Call(tool, arguments),))


def hand_in(outcome="submitted", done="did it", **rest):
    return call("hand_in", outcome=outcome, done=done, **rest)


class ScriptedModel:
    def __init__(self, script):
        self._script = script
        self.requests = []
        self.asked = threading.Event()
        self._stopping = threading.Event()
        self._ids = count(1)

    def __enter__(self):
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                recorded = Recorded(self.path, headers, body, self.client_address)
                model.requests.append(recorded)
                model.asked.set()
                model.answer(self, recorded)

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def answer(self, handler, recorded):
        number = len(self.requests) - 1
        if callable(self._script):
            answer = self._script(recorded)
        else:
            answer = self._script[number] if number < len(self._script) else Refuse(418, "the script is over")
        if isinstance(answer, Stall):
            self._stopping.wait()
            handler.close_connection = True
        elif isinstance(answer, Hang):
            handler.close_connection = True
        elif isinstance(answer, Raw):
            self._send(handler, 200, answer.content_type, answer.body)
        elif isinstance(answer, Refuse):
            body = json.dumps({"error": {"type": "invalid_request_error", "message": answer.message}}).encode()
            self._send(handler, answer.status, "application/json", body, answer.headers)
        else:
            render, stream = self._format(recorded.path.partition("?")[0])
            document = render(answer)
            if recorded.body.get("stream") or ":streamGenerateContent" in recorded.path:
                self._stream(handler, stream(document), cut=answer.stream_cut)
            else:
                self._send(handler, 200, "application/json", json.dumps(document).encode())

    def _format(self, path):
        if path.endswith("/messages"):
            return self._anthropic, _anthropic_stream
        if path.endswith("/responses"):
            return lambda answer: responses(answer, self._ids), responses_stream
        if "generatecontent" in path.lower():
            return lambda answer: gemini(answer, self._ids), gemini_stream
        return self._openai, _openai_stream

    def _openai(self, answer):
        calls = [
            {"id": f"call_{next(self._ids)}", "type": "function",
             "function": {"name": c.tool, "arguments": _raw(c.arguments)}}
            for c in answer.calls
        ]  # fmt: skip
        finish = "length" if answer.cut else "tool_calls" if calls else "stop"
        message = {"role": "assistant", "content": answer.text or None} | ({"tool_calls": calls} if calls else {})
        usage = answer.usage or {"prompt_tokens": 100, "completion_tokens": 20,
                                 "prompt_tokens_details": {"cached_tokens": 60}}  # fmt: skip
        return {"id": f"chatcmpl-{next(self._ids)}", "object": "chat.completion", "created": 0, "model": "scripted",
                "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}  # fmt: skip

    def _anthropic(self, answer):
        content = [{"type": "text", "text": answer.text}] if answer.text else []
        content += [
            {"type": "tool_use", "id": f"toolu_{next(self._ids)}", "name": c.tool, "input": c.arguments}
            for c in answer.calls
        ]
        stop = "max_tokens" if answer.cut else "tool_use" if answer.calls else "end_turn"
        usage = answer.usage or {"input_tokens": 30, "output_tokens": 20, "cache_read_input_tokens": 60,
                                 "cache_creation_input_tokens": 10}  # fmt: skip
        return {"id": f"msg_{next(self._ids)}", "model": "scripted", "type": "message", "role": "assistant",
                "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}  # fmt: skip

    def _send(self, handler, status, content_type, body, headers=None):
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _stream(self, handler, chunks, *, cut):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in chunks[: len(chunks) // 2] if cut else chunks:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        handler.wfile.write(b"0\r\n\r\n")


def _raw(arguments):
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _halves(text):
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def _openai_stream(document):
    choice = document["choices"][0]
    message = choice["message"]
    deltas = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _halves(message["content"] or "")]
    for index, tool_call in enumerate(message.get("tool_calls", [])):
        function = tool_call["function"]
        head = {"name": function["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": tool_call["id"], "type": "function", "function": head}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in _halves(function["arguments"])
        ]
    head = {"id": document["id"], "object": "chat.completion.chunk", "created": 0, "model": document["model"]}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    chunks.append({**head, "choices": [], "usage": document["usage"]})
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def _anthropic_stream(document):
    start = document | {"content": [], "stop_reason": None, "usage": document["usage"] | {"output_tokens": 1}}
    events = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(document["content"]):
        if block["type"] == "text":
            empty, field_name, pieces = block | {"text": ""}, "text", _halves(block["text"])
            kind = "text_delta"
        else:
            empty, field_name, pieces = block | {"input": {}}, "partial_json", _halves(_raw(block["input"]))
            kind = "input_json_delta"
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [
            {"type": "content_block_delta", "index": index, "delta": {"type": kind, field_name: piece}}
            for piece in pieces
        ]
        events.append({"type": "content_block_stop", "index": index})
    usage = {"output_tokens": document["usage"]["output_tokens"]}
    events.append({"type": "message_delta", "delta": {"stop_reason": document["stop_reason"]}, "usage": usage})
    events.append({"type": "message_stop"})
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]
