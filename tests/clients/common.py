"""What the Python tests share: where the gateway is, its keys, and waiting."""

import os
import time

URL = os.environ["SLUICE_URL"]
INFERENCE_KEY = os.environ["SLUICE_INFERENCE_KEY"]
MANAGEMENT_KEY = os.environ["SLUICE_MANAGEMENT_KEY"]
FAST = "demo/chat-small:nitro"
HELLO = [{"role": "user", "content": "Hello there"}]

# Nano-dollars a token of demo/chat-small at demo-fast.
PROMPT_NANO, COMPLETION_NANO = 500, 2000


def cost(usage):
    return round((usage.prompt_tokens * PROMPT_NANO + usage.completion_tokens * COMPLETION_NANO) / 1e9, 9)


def eventually(check, seconds=5.0):
    """Waits until check() gives something other than None."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value is not None:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.05)
