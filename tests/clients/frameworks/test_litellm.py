"""LiteLLM as a client: its OpenAI and Anthropic providers with their base URL changed."""

import json
import os
import unittest

# Otherwise it asks the web for prices when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402
from common import FAST, HELLO, INFERENCE_KEY, URL  # noqa: E402

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
AS = {
    "openai": {"model": f"openai/{FAST}", "api_base": f"{URL}/v1"},
    "anthropic": {"model": f"anthropic/{FAST}", "api_base": URL, "max_tokens": 1000},
}


class LiteLLM(unittest.TestCase):
    def complete(self, name, **more):
        return litellm.completion(**AS[name], api_key=INFERENCE_KEY, num_retries=0, **more)

    def test_chat(self):
        for name in AS:
            with self.subTest(name):
                answer = self.complete(name, messages=HELLO)
                self.assertIn("Hello there", answer.choices[0].message.content)
                self.assertGreater(answer.usage.completion_tokens, 0)

    def test_stream(self):
        for name in AS:
            with self.subTest(name):
                chunks = list(self.complete(name, messages=HELLO, stream=True, stream_options={"include_usage": True}))
                whole = litellm.stream_chunk_builder(chunks)
                self.assertIn("Hello there", whole.choices[0].message.content)
                self.assertGreater(whole.usage.completion_tokens, 0)

    def test_tools(self):
        for name in AS:
            with self.subTest(name):
                answer = self.complete(name, messages=HELLO, tools=TOOLS)
                message = answer.choices[0].message
                [call] = message.tool_calls
                self.assertEqual(call.function.name, "weather")
                self.assertIsInstance(json.loads(call.function.arguments)["city"], str)
                result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
                again = self.complete(name, messages=[*HELLO, message, result], tools=TOOLS)
                self.assertIn("sunny", again.choices[0].message.content)


if __name__ == "__main__":
    unittest.main()
