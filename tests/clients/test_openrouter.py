"""OpenRouter's own SDK for Python with its server URL changed, against the demo. It checks every
answer against OpenRouter's schemas."""

import unittest

from common import FAST, HELLO, INFERENCE_KEY, MANAGEMENT_KEY, URL, cost, eventually
from openrouter import OpenRouter, errors
from openrouter.utils import RetryConfig, BackoffStrategy

ONCE = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)


def client(key=INFERENCE_KEY, base="/api/v1"):
    return OpenRouter(server_url=f"{URL}{base}", api_key=key, retry_config=ONCE)


class OpenRouterPython(unittest.TestCase):
    def test_chat_and_its_generation(self):
        for base in ["/api/v1", "/v1"]:
            with self.subTest(base=base), client(base=base) as one:
                answer = one.chat.send(model=FAST, messages=HELLO)
                self.assertTrue(answer.id.startswith("gen-"))
                self.assertIn("Hello there", answer.choices[0].message.content)
                self.assertEqual(answer.usage.cost, cost(answer.usage))

                def found():
                    try:
                        return one.generations.get_generation(id=answer.id).data
                    except errors.NotFoundResponseError:
                        return None

                data = eventually(found)
                self.assertEqual((data.tokens_prompt, data.tokens_completion), (answer.usage.prompt_tokens, answer.usage.completion_tokens))
                self.assertEqual(data.total_cost, answer.usage.cost)

    def test_stream(self):
        with client() as one:
            chunks = list(one.chat.send(model=FAST, messages=HELLO, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertIn("Hello there", text)
        self.assertEqual(chunks[-1].usage.cost, cost(chunks[-1].usage))

    def test_models(self):
        with client() as one:
            listed = one.models.list()
            rows = listed.result.data if hasattr(listed, "result") else listed.data
            self.assertEqual([row.id for row in rows if row.id.startswith("demo/")], ["demo/chat-large", "demo/chat-small", "demo/reasoner"])
            self.assertGreaterEqual(one.models.count().data.count, 3)
            endpoints = one.endpoints.list(author="demo", slug="chat-small").data.endpoints
            self.assertEqual([endpoint.tag for endpoint in endpoints], ["demo-cheap", "demo-balanced", "demo-fast"])

    def test_keys(self):
        with client(MANAGEMENT_KEY) as manager:
            made = manager.api_keys.create(name="python", limit=2)
            self.assertTrue(made.key.startswith("sk-sl-v1-"))
            hash = made.data.hash
            with client(made.key) as user:
                self.assertEqual(user.api_keys.get_current_key_metadata().data.limit, 2)
            self.assertEqual(manager.api_keys.get(hash=hash).data.name, "python")
            self.assertTrue(manager.api_keys.update(hash=hash, disabled=True).data.disabled)
            self.assertTrue(manager.api_keys.delete(hash=hash).DELETED)
            with self.assertRaises(errors.NotFoundResponseError):
                manager.api_keys.get(hash=hash)

    def test_errors(self):
        for key, change, kind, status in [
            ("sk-or-v1-x", {}, errors.UnauthorizedResponseError, 401),
            (MANAGEMENT_KEY, {}, errors.ForbiddenResponseError, 403),
            (INFERENCE_KEY, {"model": "nobody/nothing"}, errors.BadRequestResponseError, 400),
            (INFERENCE_KEY, {"temperature": 5}, errors.BadRequestResponseError, 400),
            (INFERENCE_KEY, {"provider": {"only": ["nobody"]}}, errors.NotFoundResponseError, 404),
        ]:
            with self.subTest(status=status), client(key) as one, self.assertRaises(kind) as raised:
                one.chat.send(**{"model": FAST, "messages": HELLO, **change})
            self.assertEqual(raised.exception.status_code, status)
            self.assertEqual(raised.exception.data.error.code, status)


if __name__ == "__main__":
    unittest.main()
