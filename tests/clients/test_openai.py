"""OpenAI's own SDK for Python with its base URL changed, against the demo."""

import asyncio
import json
import unittest
import urllib.error
import urllib.request

import openai
from common import FAST, HELLO, INFERENCE_KEY, MANAGEMENT_KEY, URL, cost, eventually


def client(key=INFERENCE_KEY, kind=openai.OpenAI):
    return kind(base_url=f"{URL}/v1", api_key=key, max_retries=0)


def generation(generation_id):
    request = urllib.request.Request(f"{URL}/v1/generation?id={generation_id}", headers={"Authorization": f"Bearer {INFERENCE_KEY}"})
    try:
        with urllib.request.urlopen(request) as response:
            data = json.load(response)["data"]
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None
    # While it runs it is shown as it would be if nothing more were heard of it.
    return None if data["outcome"] == "lost" else data


class OpenAIPython(unittest.TestCase):
    def setUp(self):
        self.client = client()
        self.addCleanup(self.client.close)

    def test_chat(self):
        answer = self.client.chat.completions.create(model=FAST, messages=HELLO)
        self.assertTrue(answer.id.startswith("gen-"))
        self.assertEqual(answer.model, "demo/chat-small")
        self.assertEqual(answer.provider, "Demo (fast)")
        self.assertIn("Hello there", answer.choices[0].message.content)
        self.assertEqual(answer.usage.cost, cost(answer.usage))

    def test_stream_and_its_generation(self):
        chunks = list(self.client.chat.completions.create(model=FAST, messages=HELLO, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertIn("Hello there", text)
        self.assertEqual({chunk.id for chunk in chunks}, {chunks[0].id})
        last = chunks[-1]
        self.assertEqual(last.choices, [])
        self.assertEqual(last.usage.cost, cost(last.usage))
        data = eventually(lambda: generation(last.id))
        self.assertEqual((data["tokens_prompt"], data["tokens_completion"]), (last.usage.prompt_tokens, last.usage.completion_tokens))
        self.assertEqual(data["total_cost"], last.usage.cost)

    def test_async_stream(self):
        async def run():
            async with client(kind=openai.AsyncOpenAI) as asynchronous:
                stream = await asynchronous.chat.completions.create(model=FAST, messages=HELLO, stream=True)
                return [chunk async for chunk in stream]

        chunks = asyncio.run(run())
        self.assertIsNotNone(chunks[-1].usage.cost)

    def test_leaving_a_stream(self):
        with self.client.chat.completions.create(model="demo/chat-small:floor", messages=HELLO, stream=True) as stream:
            for chunk in stream:
                generation_id = chunk.id
                if chunk.choices and chunk.choices[0].delta.content:
                    break
        self.assertTrue(eventually(lambda: generation(generation_id), 15)["cancelled"])

    def test_tools(self):
        tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
        answer = self.client.chat.completions.create(model=FAST, messages=HELLO, tools=tools)
        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual(call.function.name, "weather")
        self.assertIsInstance(json.loads(call.function.arguments)["city"], str)

    def test_models(self):
        ids = [model.id for model in self.client.models.list() if model.id.startswith("demo/")]
        self.assertEqual(ids, ["demo/chat-large", "demo/chat-small", "demo/reasoner"])

    def test_errors(self):
        for key, change, kind, status, param in [
            ("sk-nonsense", {}, openai.AuthenticationError, 401, None),
            (MANAGEMENT_KEY, {}, openai.PermissionDeniedError, 403, None),
            (INFERENCE_KEY, {"model": "nobody/nothing"}, openai.BadRequestError, 400, "model"),
            (INFERENCE_KEY, {"temperature": "hot"}, openai.BadRequestError, 400, "temperature"),
            (INFERENCE_KEY, {"messages": [], "stream": True}, openai.BadRequestError, 400, "messages"),
            (INFERENCE_KEY, {"extra_body": {"provider": {"only": ["nobody"]}}}, openai.NotFoundError, 404, "model"),
        ]:
            with self.subTest(status=status, param=param), client(key) as one, self.assertRaises(kind) as raised:
                one.chat.completions.create(**{"model": FAST, "messages": HELLO, **change})
            self.assertEqual((raised.exception.status_code, raised.exception.param), (status, param))
            self.assertIsInstance(raised.exception.code, str)


if __name__ == "__main__":
    unittest.main()
