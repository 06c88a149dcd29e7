"""LangChain's chat models of OpenAI (chat and Responses) and Anthropic, with their base URL changed."""

import unittest

from common import FAST, INFERENCE_KEY, URL
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: sunny"


def models():
    openai = {"base_url": f"{URL}/v1", "api_key": INFERENCE_KEY, "model": FAST, "max_retries": 0}
    yield "chat", ChatOpenAI(**openai)
    yield "responses", ChatOpenAI(**openai, use_responses_api=True)
    yield "anthropic", ChatAnthropic(base_url=URL, api_key=INFERENCE_KEY, model=FAST, max_retries=0, max_tokens=1000)


class LangChain(unittest.TestCase):
    def test_chat(self):
        for name, model in models():
            with self.subTest(name):
                answer = model.invoke("Hello there")
                self.assertIn("Hello there", answer.text)
                self.assertGreater(answer.usage_metadata["output_tokens"], 0)

    def test_stream(self):
        for name, model in models():
            with self.subTest(name):
                chunks = list(model.stream("Hello there"))
                self.assertGreater(len(chunks), 3)
                whole = sum(chunks[1:], chunks[0])
                self.assertIn("Hello there", whole.text)
                self.assertGreater(whole.usage_metadata["output_tokens"], 0)

    def test_tools(self):
        for name, model in models():
            with self.subTest(name):
                able = model.bind_tools([weather])
                question = ("user", "What is the weather?")
                asked = able.invoke([question])
                [call] = asked.tool_calls
                self.assertEqual(call["name"], "weather")
                self.assertIsInstance(call["args"]["city"], str)
                answer = able.invoke([question, asked, weather.invoke(call)])
                self.assertIn("sunny", answer.text)

    def test_tools_in_a_stream(self):
        for name, model in models():
            with self.subTest(name):
                chunks = list(model.bind_tools([weather]).stream("What is the weather?"))
                [call] = sum(chunks[1:], chunks[0]).tool_calls
                self.assertEqual((call["name"], list(call["args"])), ("weather", ["city"]))


if __name__ == "__main__":
    unittest.main()
