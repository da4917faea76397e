"""What each program writes in a session that says something, reads a file and hands in: its own lines, cut to what matters."""

from __future__ import annotations

import json

from swarmworks.runtime import claude

HANDOFF = {"outcome": "submitted", "done": "did it", "changed": [], "notes": [], "risks": []}
HANDED_IN = [{"type": "text", "text": "Handed in. The session ends now."}]


def lines(rows):
    return [json.dumps(row).encode() for row in rows]


def claude_lines():
    """2.1.197"""
    servers = [{"name": "swarm", "status": "connected"}]
    return lines([
        {"type": "system", "subtype": "init", "tools": ["Bash"], "mcp_servers": servers, "model": "m"},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "I look."}], "usage": {}}},
        _claude_call("c1", "Read", {"file_path": "a"}),
        _claude_result("c1", "a"),
        _claude_call("c2", claude.HAND_IN, HANDOFF),
        _claude_result("c2", HANDED_IN),
    ])  # fmt: skip


def _claude_call(number, name, arguments):
    use = {"type": "tool_use", "id": number, "name": name, "input": arguments}
    return {"type": "assistant", "message": {"content": [use], "usage": {"output_tokens": 1}}}


def _claude_result(number, content, *, wrong=False):
    result = {"type": "tool_result", "tool_use_id": number, "content": content, "is_error": wrong}
    return {"type": "user", "message": {"role": "user", "content": [result]}}


def codex_lines():
    """0.171.0"""
    shell = {"id": "c1", "type": "command_execution", "command": "/bin/bash -c 'cat a'"}
    ours = {"id": "c2", "type": "mcp_tool_call", "server": "swarm", "tool": "hand_in", "arguments": HANDOFF}
    running = {"status": "in_progress"}
    remark = "Model metadata for `m` not found."
    return lines([
        {"type": "thread.started", "thread_id": "01a22498"},
        {"type": "item.completed", "item": {"id": "c0", "type": "error", "message": remark}},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"id": "c9", "type": "agent_message", "text": "I look."}},
        {"type": "item.started", "item": {**shell, "aggregated_output": "", "exit_code": None, **running}},
        {"type": "item.completed", "item": {**shell, "aggregated_output": "a", "exit_code": 0, "status": "completed"}},
        {"type": "item.started", "item": {**ours, "result": None, "error": None, **running}},
        {"type": "item.completed", "item": {**ours, "result": {"content": HANDED_IN, "structured_content": None},
                                            "error": None, "status": "completed"}},
    ])  # fmt: skip


def gemini_lines():
    """0.61.0"""
    return lines([
        {"type": "init", "session_id": "34e2df62", "model": "m"},
        {"type": "message", "role": "user", "content": "do it"},
        {"type": "message", "role": "assistant", "content": "I ", "delta": True},
        {"type": "message", "role": "assistant", "content": "look.", "delta": True},
        {"type": "tool_use", "tool_name": "read_file", "tool_id": "c1", "parameters": {"file_path": "a"}},
        {"type": "tool_result", "tool_id": "c1", "status": "success", "output": "a"},
        {"type": "tool_use", "tool_name": "mcp_swarm_hand_in", "tool_id": "c2", "parameters": HANDOFF},
        {"type": "tool_result", "tool_id": "c2", "status": "success", "output": HANDED_IN[0]["text"]},
    ])  # fmt: skip


def opencode_lines():
    """1.18.33"""

    def tool(number, name, arguments, output):
        state = {"status": "completed", "input": arguments, "output": output, "title": "", "metadata": {}}
        part = {"id": f"prt_{number}", "type": "tool", "callID": number, "tool": name, "state": state}
        return {"type": "tool_use", "sessionID": "ses_1", "part": part}

    tokens = {"input": 40, "output": 20, "reasoning": 0, "cache": {"read": 60, "write": 0}}
    return lines([
        {"type": "step_start", "sessionID": "ses_1", "part": {"type": "step-start"}},
        {"type": "text", "sessionID": "ses_1", "part": {"type": "text", "text": "I look.", "time": {"end": 1}}},
        tool("c1", "read", {"filePath": "a"}, "a"),
        {"type": "step_finish", "sessionID": "ses_1", "part": {"type": "step-finish", "reason": "tool-calls", "tokens": tokens}},
        tool("c2", "swarm_hand_in", HANDOFF, HANDED_IN[0]["text"]),
    ])  # fmt: skip


def qwen_lines():
    """0.24.4"""
    return lines([
        {"type": "system", "subtype": "init", "tools": ["run_shell_command"], "mcp_servers": []},
        {"type": "stream_event", "event": {"type": "goal_state", "goal_state": {"v": 2, "goal": None}}},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "I look."}], "usage": {}}},
        _claude_call("c1", "read_file", {"path": "a"}),
        _claude_result("c1", "a"),
        _claude_call("c2", "mcp__swarm__hand_in", HANDOFF),
        _claude_result("c2", HANDED_IN[0]["text"]),
    ])  # fmt: skip


def pi_lines():
    """0.73.1"""
    said = {"type": "text", "text": "I look."}
    call = {"type": "toolCall", "id": "c1", "name": "read", "arguments": {"path": "a"}}
    usage = {"input": 40, "output": 20, "cacheRead": 60, "cacheWrite": 0}

    def assistant(*blocks, stop):
        return {"role": "assistant", "content": list(blocks), "usage": usage, "stopReason": stop}

    return lines([
        {"type": "session", "version": 3, "id": "0"},
        {"type": "agent_start"},
        {"type": "message_end", "message": {"role": "user", "content": [{"type": "text", "text": "do it"}]}},
        {"type": "message_end", "message": assistant(said, call, stop="toolUse")},
        {"type": "tool_execution_start", "toolCallId": "c1", "toolName": "read", "args": {"path": "a"}},
        {"type": "tool_execution_end", "toolCallId": "c1", "toolName": "read", "isError": False,
         "result": {"content": [{"type": "text", "text": "a"}]}},
        {"type": "message_end", "message": assistant({"type": "text", "text": "did it"}, stop="stop")},
        {"type": "agent_end", "messages": []},
    ])  # fmt: skip


def aider_lines():
    """0.86.2"""
    return [b"I look.", b"Applied edit to a", b"did it", b"Tokens: 1.2k sent, 20 received."]


def mini_lines():
    """2.4.6"""
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60}}
    empty = {"calls": [], "call": None, "status": None, "usage": None}
    return lines([
        {**empty, "role": "assistant", "content": "I look.", "calls": [{"id": "c1", "command": "cat a"}], "usage": usage},
        {**empty, "role": "tool", "content": "a", "call": "c1", "status": 0},
        {**empty, "role": "assistant", "content": "did it"},
        {**empty, "role": "exit", "content": "", "status": "Submitted"},
    ])  # fmt: skip


RECORDED = {
    "claude": claude_lines,
    "codex": codex_lines,
    "gemini": gemini_lines,
    "opencode": opencode_lines,
    "qwen": qwen_lines,
    "pi": pi_lines,
    "aider": aider_lines,
    "mini": mini_lines,
}
BY_ITSELF = {"pi": ["message"], "aider": ["message", "message"], "mini": ["message"]}
"""Programs that hand in by ending, and what they say before."""
