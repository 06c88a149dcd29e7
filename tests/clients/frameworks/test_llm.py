"""Simon Willison's llm, the command, with the gateway among its models."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from common import FAST, INFERENCE_KEY, URL

MODELS = f"""
- model_id: gateway
  model_name: {FAST}
  api_base: {URL}/v1
  api_key_name: gateway
  supports_tools: true
"""
FUNCTION = '''
def weather(city: str) -> str:
    "The weather in a city."
    return "sunny"
'''


class Llm(unittest.TestCase):
    def llm(self, *args):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "extra-openai-models.yaml").write_text(MODELS)
            env = {"PATH": os.environ["PATH"], "LLM_USER_PATH": folder}
            done = subprocess.run([sys.executable, "-m", "llm", "-m", "gateway", "--key", INFERENCE_KEY, *args], capture_output=True, text=True, env=env, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_chat(self):
        self.assertIn("Hello there", self.llm("--no-stream", "Hello there"))

    def test_stream(self):
        self.assertIn("Hello there", self.llm("Hello there"))

    def test_tools(self):
        self.assertIn("sunny", self.llm("--functions", FUNCTION, "What is the weather?"))


if __name__ == "__main__":
    unittest.main()
