"""A provider's truth for property tests: it reads the bytes it is sent by itself, and counts them with a byte-level tokenizer
that merges. It never makes more than one token of a byte, and is as unkind as the documentation lets a provider be.
"""

import json
import re
import unicodedata
from dataclasses import dataclass

PAYLOAD = re.compile(r"(data:[a-z/]+;base64,)?[A-Za-z0-9+/=]{200,}")
LISTS = {"anthropic": "messages", "chat": "messages", "responses": "input", "google": "contents"}


@dataclass(frozen=True)
class Habits:
    """`merges`: bytes of a run of letters that become one token at most. `reads_inner`: it parses the arguments of tools.
    `frame` tokens are put around a request, `around` to each item, `image` is what one image is.
    """

    merges: int = 1
    normalises: bool = True
    reads_inner: bool = True
    frame: int = 1_024
    around: int = 20
    image: int = 1_500


def tokens(text, habits):
    if habits.normalises:
        text = unicodedata.normalize("NFKC", text)
    if habits.merges == 1:
        return len(text.encode("utf-8", "surrogatepass"))
    found = re.findall(rf"[A-Za-z ]{{1,{habits.merges}}}|.", text, re.DOTALL)
    return sum(1 if piece.isascii() else len(piece.encode("utf-8", "surrogatepass")) for piece in found)


def strings(value, habits):
    """Every string of a value and the names that a provider writes into a prompt; JSON within JSON resolved."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "cache_control":
                continue
            yield key
            yield from strings(each, habits)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each, habits)
    elif isinstance(value, str):
        try:
            inner = json.loads(value) if habits.reads_inner and value[:1] in "{[" else None
        except ValueError:
            inner = None
        yield value if inner is None else json.dumps(inner, ensure_ascii=False)


def count(kind, body, habits):
    """Tokens of a request as this provider reads it."""
    found = habits.frame
    for item in body[LISTS[kind]]:
        found += habits.around
        for text in strings(item, habits):
            found += habits.image if PAYLOAD.fullmatch(text) else tokens(text, habits)
    beside = {key: body[key] for key in ("system", "instructions", "systemInstruction", "tools") if key in body}
    return found + sum(tokens(text, habits) for text in strings(beside, habits))


def answer(kind, taken, given, read=0, written=0):
    """An answer with its usage, in the words of the format."""
    if kind == "anthropic":
        usage = {"input_tokens": taken - read - written, "output_tokens": given}
        usage |= {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
        return {"type": "message", "usage": usage}
    if kind == "chat":
        details = {"cached_tokens": read}
        return {"usage": {"prompt_tokens": taken, "completion_tokens": given, "prompt_tokens_details": details}}
    if kind == "responses":
        usage = {"input_tokens": taken, "output_tokens": given, "input_tokens_details": {"cached_tokens": read}}
        return {"status": "completed", "usage": usage}
    usage = {"promptTokenCount": taken, "candidatesTokenCount": given, "cachedContentTokenCount": read}
    return {"candidates": [{"finishReason": "STOP"}], "usageMetadata": usage}
