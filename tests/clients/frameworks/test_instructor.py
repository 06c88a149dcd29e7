"""Instructor over the SDKs of OpenAI and Anthropic: answers as objects of a class, whole and as they come."""

import unittest

import anthropic
import instructor
import openai
from common import FAST, HELLO, INFERENCE_KEY, URL
from pydantic import BaseModel


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    days: int


def clients():
    yield "tools", instructor.from_openai(openai.OpenAI(base_url=f"{URL}/v1", api_key=INFERENCE_KEY), mode=instructor.Mode.TOOLS), {}
    yield "schema", instructor.from_openai(openai.OpenAI(base_url=f"{URL}/v1", api_key=INFERENCE_KEY), mode=instructor.Mode.JSON_SCHEMA), {}
    yield "anthropic", instructor.from_anthropic(anthropic.Anthropic(base_url=URL, api_key=INFERENCE_KEY)), {"max_tokens": 1000}


class Instructor(unittest.TestCase):
    def test_an_object(self):
        for name, client, more in clients():
            with self.subTest(name):
                found = client.create(model=FAST, messages=HELLO, response_model=Weather, max_retries=0, **more)
                self.assertIsInstance(found, Weather)

    def test_an_object_as_it_comes(self):
        for name, client, more in clients():
            with self.subTest(name):
                *_, last = client.create_partial(model=FAST, messages=HELLO, response_model=Weather, max_retries=0, **more)
                self.assertIsInstance(last.days, int)


if __name__ == "__main__":
    unittest.main()
