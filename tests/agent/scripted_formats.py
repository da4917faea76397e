"""The scripted model's answers as OpenAI Responses and as Gemini, whole and streamed."""

from __future__ import annotations

import json


def responses(answer, ids):
    output = []
    if answer.text:
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
        output.append({"type": "message", "id": f"msg_{next(ids)}", "role": "assistant", "status": "completed",
                       "content": content})  # fmt: skip
    output += [_responses_call(call, next(ids)) for call in answer.calls]
    details = {"input_tokens_details": {"cached_tokens": 60}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = answer.usage or {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, **details}
    return {"id": f"resp_{next(ids)}", "object": "response", "created_at": 0, "model": "scripted",
            "status": "completed", "output": output, "usage": usage, "error": None}  # fmt: skip


def _responses_call(call, number):
    """A tool in a namespace is named `namespace/tool`; a text is the input of a custom tool."""
    head = {"id": f"fc_{number}", "call_id": f"call_{number}", "status": "completed"}
    namespace, _, name = call.tool.rpartition("/")
    where = {"namespace": namespace} if namespace else {}
    if isinstance(call.arguments, str):
        return {"type": "custom_tool_call", **head, "name": name, **where, "input": call.arguments}
    return {"type": "function_call", **head, "name": name, **where, "arguments": json.dumps(call.arguments)}


def responses_stream(document):
    begun = {**document, "status": "in_progress", "output": [], "usage": None}
    events = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(document["output"]):
        events.append({"type": "response.output_item.added", "output_index": index, "item": item})
        if item["type"] == "message":
            delta = {"item_id": item["id"], "output_index": index, "content_index": 0}
            events.append({"type": "response.output_text.delta", **delta, "delta": item["content"][0]["text"]})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": document})
    return [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
        for number, event in enumerate(events)
    ]


def gemini(answer, ids):
    parts = [{"text": answer.text}] if answer.text else []
    parts += [{"functionCall": {"id": f"call_{next(ids)}", "name": c.tool, "args": c.arguments}} for c in answer.calls]
    usage = answer.usage or {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120,
                             "cachedContentTokenCount": 60}  # fmt: skip
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted", "responseId": "r"}


def gemini_stream(document):
    return [b"data: " + json.dumps(document).encode() + b"\r\n\r\n"]
