"""Pydantic AI over its models of OpenAI (chat and Responses), Anthropic and Google, with base URLs changed."""

import unittest

from common import FAST, INFERENCE_KEY, URL
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider


def models():
    openai = OpenAIProvider(base_url=f"{URL}/v1", api_key=INFERENCE_KEY)
    yield "chat", OpenAIChatModel(FAST, provider=openai)
    yield "responses", OpenAIResponsesModel(FAST, provider=openai)
    yield "anthropic", AnthropicModel(FAST, provider=AnthropicProvider(base_url=URL, api_key=INFERENCE_KEY))
    yield "google", GoogleModel(FAST, provider=GoogleProvider(base_url=URL, api_key=INFERENCE_KEY))


class PydanticAI(unittest.IsolatedAsyncioTestCase):
    async def test_chat(self):
        for name, model in models():
            with self.subTest(name):
                result = await Agent(model).run("Hello there")
                self.assertIn("Hello there", result.output)
                self.assertGreater(result.usage.output_tokens, 0)

    async def test_stream(self):
        for name, model in models():
            with self.subTest(name):
                async with Agent(model).run_stream("Hello there") as result:
                    pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
                self.assertGreater(len(pieces), 3)
                self.assertIn("Hello there", "".join(pieces))

    async def test_tools(self):
        for name, model in models():
            with self.subTest(name):
                cities = []
                agent = Agent(model)

                @agent.tool_plain
                def weather(city: str) -> str:
                    """The weather in a city."""
                    cities.append(city)
                    return "sunny"

                result = await agent.run("What is the weather?")
                self.assertEqual(len(cities), 1)
                self.assertIn("sunny", result.output)


if __name__ == "__main__":
    unittest.main()
