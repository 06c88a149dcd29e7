"""The vendors' own SDKs for Python as clients of the gateway, driven by python.test.mjs.

Reads {"url", "key", "cases": [{"name", "client", "model", "prompt", "stream", "strict"}]} from standard
input and writes one JSON line a case: {"name", "client", "final", "problems", "status"}. `final` is what
the SDK put together, as it writes it out again (for Gemini, whose SDK puts nothing together, a list).
Every warning is an error. Where `strict` is set, every answer and every event is also checked against
the SDK's own declared type, which the SDKs of OpenAI and Anthropic do not do by themselves, and no
member may be there that neither the SDK nor the gateway knows.
"""

import json
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import anthropic
import openai
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

# Members that are not in the SDKs' types: the gateway's own, as OpenRouter has them ...
OURS = {
    "provider", "cost", "cost_details", "is_byok", "is_estimated", "native_finish_reason", "reasoning",
    "reasoning_details", "images", "openrouter_metadata", "format", "server_tool_use_details", "content",
}
# ... and those that the vendors have but their SDKs do not declare in that place.
UNDECLARED = {
    "annotations", "audio_tokens", "bytes", "cache_creation", "custom", "frequency_penalty", "id", "image_tokens",
    "index", "name", "presence_penalty", "service_tier", "store",
}
MOST = 4096

work = json.load(sys.stdin)
URL, KEY = work["url"], work["key"]
openai_client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
anthropic_client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
genai_client = genai.Client(api_key=KEY, vertexai=False, http_options=genai_types.HttpOptions(base_url=URL, api_version="v1beta"))
warnings.simplefilter("error")


@lru_cache(maxsize=None)
def adapter(kind):
    return TypeAdapter(kind)


def written(value):
    # What OpenAI's SDK has put together is of generic types, of which it warns itself when it writes them.
    own = type(value).__module__.startswith("openai.lib") or type(value).__name__.startswith("Parsed")
    return value.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=not own)


def check(value, kind, problems, unless=None):
    """Whether it is what the SDK declares, to the letter; but for a member of that name."""
    try:
        adapter(kind).validate_python(written(value))
    except ValidationError as error:
        wrong = [one for one in error.errors(include_url=False) if unless is None or one["loc"][-1] != unless]
        for one in wrong[:3]:
            problems.append(f"{type(value).__name__}: {one['loc']}: {one['msg']}")
    strangers(value, type(value).__name__, problems)


def strangers(value, path, problems):
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            if name not in OURS and name not in UNDECLARED:
                problems.append(f"{path}.{name}: no such member")
        for name in type(value).model_fields:
            strangers(getattr(value, name, None), f"{path}.{name}", problems)
    elif isinstance(value, list):
        for item in value:
            strangers(item, f"{path}[]", problems)


def chat(case, problems):
    request = {"model": case["model"], "messages": [{"role": "user", "content": case["prompt"]}]}
    completions = openai_client.chat.completions
    if not case["stream"]:
        answer = completions.create(**request)
        if case["strict"]:
            check(answer, ChatCompletion, problems)
        return written(answer)
    with completions.stream(**request) as stream:
        try:
            for event in stream:
                if event.type == "chunk" and case["strict"]:
                    check(event.chunk, ChatCompletionChunk, problems)
        except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
            # So the SDK says how the answer ended; what has come is there.
            pass
        return written(stream.current_completion_snapshot)


# Chunks have no end but the last, which the SDK's one type for them and whole answers has always; and an
# answer that calls tools, for which nobody asks in this format, has an end that it does not know.
CHUNK_END = "finish_reason"


def completions(case, problems):
    answer = openai_client.completions.create(model=case["model"], prompt=case["prompt"], stream=case["stream"])
    pieces = list(answer) if case["stream"] else [answer]
    if case["strict"]:
        for piece in pieces:
            check(piece, Completion, problems, unless=CHUNK_END)
    return [written(piece) for piece in pieces]


def responses(case, problems):
    request = {"model": case["model"], "input": case["prompt"], "store": False}
    if not case["stream"]:
        answer = openai_client.responses.create(**request)
        if case["strict"]:
            check(answer, Response, problems)
        return written(answer)
    with openai_client.responses.stream(**request) as stream:
        last = None
        for event in stream:
            if case["strict"]:
                check(event, ResponseStreamEvent, problems)
            last = event
        # `get_final_response` knows no answer that is incomplete.
        return written(last.response)


def messages(case, problems):
    request = {"model": case["model"], "max_tokens": MOST, "messages": [{"role": "user", "content": case["prompt"]}]}
    if not case["stream"]:
        answer = anthropic_client.messages.create(**request)
        if case["strict"]:
            check(answer, anthropic.types.Message, problems)
        return written(answer)
    with anthropic_client.messages.stream(**request) as stream:
        for event in stream:
            # Others are the SDK's own, made of these.
            if case["strict"] and type(event).__name__.startswith("Raw"):
                check(event, anthropic.types.RawMessageStreamEvent, problems)
        return written(stream.get_final_message())


def gemini(case, problems):
    models = genai_client.models
    request = {"model": case["model"], "contents": case["prompt"]}
    # This SDK checks types by itself, and warns of words that it does not know.
    pieces = list(models.generate_content_stream(**request)) if case["stream"] else [models.generate_content(**request)]
    return [written(piece) for piece in pieces]


RUN = {"chat": chat, "completions": completions, "responses": responses, "messages": messages, "gemini": gemini}


def run(case):
    problems = []
    result = {"name": case["name"], "client": case["client"], "final": None, "status": None, "problems": problems}
    try:
        result["final"] = RUN[case["client"]](case, problems)
    except (openai.APIError, anthropic.APIError, genai_errors.APIError) as error:
        # An error in mid-stream has no status of its own.
        google = isinstance(error, genai_errors.APIError)
        result["status"] = (error.code if google else getattr(error, "status_code", None)) or 0
        result["error"] = f"{type(error).__name__}: {error}"[:500]
    except Exception as error:  # pylint: disable=broad-except; a case that fails must not end the others
        problems.append(f"{type(error).__name__}: {error}"[:500])
    return result


with ThreadPoolExecutor(4) as pool:
    for outcome in pool.map(run, work["cases"]):
        print(json.dumps(outcome), flush=True)
