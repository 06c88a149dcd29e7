"""The shipped catalog keeps its promises, and the builder turns a small price map into exactly the expected
lines. Standard library only:  python3 -m unittest discover -s tests/catalog"""

import json
import re
import subprocess
import sys
import tempfile
import unittest
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CATALOG = ROOT / "catalog"
BUILD = ROOT / "scripts/catalog/build.py"

sys.path.insert(0, str(ROOT / "scripts/catalog"))
import naming  # noqa: E402
import pricing  # noqa: E402
from rules import table  # noqa: E402

DOCUMENT = (ROOT / "docs/catalog.md").read_text()
PRICE_TEXT = re.compile(r"^(0|[1-9]\d*)(\.\d*[1-9])?$")
PER_TOKEN = {"prompt", "completion", "input_cache_read", "input_cache_write", "input_cache_write_1h", "internal_reasoning",
             "audio", "audio_output", "input_audio_cache", "image_token", "image_output"}
PER_UNIT = {"request", "image", "web_search", "image_generated", "character", "second"}
DIALECTS = {"openai", "openai-responses", "azure-openai", "anthropic", "gemini", "vertex", "bedrock", "cohere", "ollama"}
SETTINGS = {"base_url", "resource_name", "region", "project", "api_version", "service_account", "access_key_id",
            "secret_access_key", "session_token", "tenant_id", "client_id", "client_secret"}
OUTPUTS = {"embeddings", "rerank", "image", "speech", "transcription", "moderation"}
MODEL_FIELDS = ["id", "name", "created", "context_length", "architecture", "expiration_date", "endpoints"]
ENDPOINT_FIELDS = ["provider", "tag", "upstream_model", "quantization", "context_length", "max_completion_tokens",
                   "pricing", "supported_parameters", "quirks", "expiration_date"]


def lines():
    return (CATALOG / "models.jsonl").read_bytes().splitlines(keepends=True)


def models():
    return [json.loads(line) for line in lines()]


def endpoints():
    return [(model["id"], endpoint) for model in models() for endpoint in model["endpoints"]]


def providers():
    return json.loads((CATALOG / "providers.json").read_text())


class Models(unittest.TestCase):
    def test_lines_can_be_bisected_by_id(self):
        for line in lines():
            id = json.loads(line)["id"]
            self.assertTrue(line.startswith(f'{{"id":"{id}",'.encode()), id)
            self.assertTrue(line.endswith(b"}\n"), id)
            self.assertLess(len(line), 8192, id)
        ids = [model["id"].encode() for model in models()]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertGreater(len(ids), 300)
        self.assertLess(sum(map(len, lines())), 700_000)

    def test_ids_are_author_and_slug(self):
        for model in models():
            self.assertRegex(model["id"], r"^[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9._-]*$")

    def test_fields_are_the_documented_ones_in_order(self):
        for model in models():
            self.assertEqual(list(model), [name for name in MODEL_FIELDS if name in model])
            self.assertLessEqual({"id", "name", "architecture", "endpoints"}, set(model))
            self.assertTrue(model["endpoints"])
        for id, endpoint in endpoints():
            self.assertEqual(list(endpoint), [name for name in ENDPOINT_FIELDS if name in endpoint], id)
            self.assertLessEqual({"provider", "tag", "upstream_model", "pricing", "supported_parameters"}, set(endpoint), id)

    def test_tags_are_unique_and_name_their_provider(self):
        known = {row["slug"] for row in providers()}
        for model in models():
            tags = [endpoint["tag"] for endpoint in model["endpoints"]]
            self.assertEqual(tags, sorted(set(tags)), model["id"])
            for endpoint in model["endpoints"]:
                self.assertIn(endpoint["provider"], known, model["id"])
                self.assertEqual(endpoint["tag"].split("/")[0], endpoint["provider"], model["id"])

    def test_prices_are_plain_decimals_within_reason(self):
        for id, endpoint in endpoints():
            prices = endpoint["pricing"]
            self.assertLessEqual({"prompt", "completion"}, set(prices), id)
            tiers = prices.get("overrides", [])
            starts = [tier["min_prompt_tokens"] for tier in tiers]
            self.assertEqual(starts, sorted(set(starts)), id)
            for row in [prices, *tiers]:
                for name, text in row.items():
                    if name in ("overrides", "min_prompt_tokens"):
                        continue
                    self.assertIn(name, PER_TOKEN | PER_UNIT, id)
                    self.assertRegex(text, PRICE_TEXT, id)
                    self.assertLessEqual(Decimal(text), Decimal("0.001" if name in PER_TOKEN else "1"), (id, name))
                    # Money is kept in pico-dollars per token: a finer price could not be charged exactly.
                    self.assertEqual(Decimal(text) * 10**12 % 1, 0, (id, name))

    def test_a_price_of_zero_is_on_the_list_of_free_models(self):
        # What is not asked by messages is free only where nothing at all is charged.
        for model in models():
            messages = "text" in model["architecture"]["output_modalities"]
            for endpoint in model["endpoints"]:
                prices = endpoint["pricing"]
                free = "0" in (prices["prompt"], prices["completion"]) if messages else set(prices.values()) == {"0"}
                if free:
                    self.assertRegex(f"{endpoint['provider']}:{endpoint['upstream_model']}",
                                     r"^(google-ai-studio:gemma-.*|z-ai:glm-4\.[57]-flash|openai:omni-moderation-.*)$", model["id"])

    def test_prices_by_the_piece_are_of_what_is_made(self):
        of = {"image_generated": "image", "character": "speech", "second": "transcription"}
        for model in models():
            gives = model["architecture"]["output_modalities"]
            for endpoint in model["endpoints"]:
                for price, output in of.items():
                    if price in endpoint["pricing"]:
                        self.assertEqual(gives, [output], model["id"])
                if gives == ["image"]:
                    charged = {endpoint["pricing"]["completion"], endpoint["pricing"].get("image_generated", "0")}
                    self.assertNotEqual(charged, {"0"}, model["id"])

    def test_nothing_in_it_had_expired_on_the_day_it_was_made(self):
        as_of = json.loads((CATALOG / "source.json").read_text())["as_of"]
        for model in models():
            days = [endpoint.get("expiration_date") for endpoint in model["endpoints"]]
            for day in filter(None, days):
                self.assertRegex(day, r"^\d{4}-\d\d-\d\d$")
                self.assertGreater(day, as_of, model["id"])
            self.assertEqual(model.get("expiration_date"), max(days) if all(days) else None, model["id"])

    def test_architecture_says_the_same_thing_twice(self):
        for model in models():
            kinds = model["architecture"]
            self.assertEqual(kinds["modality"], "+".join(kinds["input_modalities"]) + "->" + "+".join(kinds["output_modalities"]))
            gives = kinds["output_modalities"]
            self.assertEqual(kinds["input_modalities"][0], "audio" if gives == ["transcription"] else "text", model["id"])
            self.assertTrue(gives[0] == "text" or len(gives) == 1 and gives[0] in OUTPUTS, model["id"])

    def test_well_known_models_cost_what_the_source_says(self):
        # Prompt and completion, USD per token, read by hand from the pinned map.
        known = {
            ("openai/gpt-4o", "openai"): ("gpt-4o", "0.0000025", "0.00001"),
            ("openai/gpt-4o-mini", "openai"): ("gpt-4o-mini", "0.00000015", "0.0000006"),
            ("openai/gpt-5.1", "openai"): ("gpt-5.1", "0.00000125", "0.00001"),
            ("anthropic/claude-sonnet-4.6", "anthropic"): ("claude-sonnet-4-6", "0.000003", "0.000015"),
            ("anthropic/claude-opus-4.5", "anthropic"): ("claude-opus-4-5", "0.000005", "0.000025"),
            ("google/gemini-2.5-flash", "google-ai-studio"): ("gemini-2.5-flash", "0.0000003", "0.0000025"),
            ("x-ai/grok-4.5", "xai"): ("grok-4.5", "0.000002", "0.000006"),
            ("deepseek/deepseek-flash", "deepseek"): ("deepseek-flash", "0.0000003", "0.0000012"),
            ("mistralai/mistral-large-2512", "mistral"): ("mistral-large-2512", "0.0000005", "0.0000015"),
            ("perplexity/sonar", "perplexity"): ("sonar", "0.000001", "0.000001"),
            ("openai/gpt-oss-120b", "groq"): ("openai/gpt-oss-120b", "0.00000015", "0.0000006"),
            ("openai/gpt-oss-120b", "cerebras"): ("gpt-oss-120b", "0.00000035", "0.00000075"),
            ("meta-llama/llama-3.3-70b-instruct", "deepinfra"): ("meta-llama/Llama-3.3-70B-Instruct", "0.00000023", "0.0000004"),
            ("meta-llama/llama-3.3-70b-instruct", "deepinfra/turbo"): ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "0.0000001", "0.00000032"),
            ("moonshotai/kimi-k3", "together"): ("moonshotai/Kimi-K3", "0.000003", "0.000015"),
            ("z-ai/glm-5.3", "z-ai"): ("glm-5.3", "0.0000014", "0.0000044"),
            ("anthropic/claude-sonnet-4.5", "bedrock"): ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "0.000003", "0.000015"),
            ("anthropic/claude-sonnet-4.6", "vertex"): ("claude-sonnet-4-6", "0.000003", "0.000015"),
            ("amazon/nova-lite-v1", "bedrock"): ("us.amazon.nova-lite-v1:0", "0.00000006", "0.00000024"),
            ("openai/gpt-4o", "azure"): ("gpt-4o", "0.0000025", "0.00001"),
            ("openai/text-embedding-3-small", "openai"): ("text-embedding-3-small", "0.00000002", "0"),
        }
        found = {(id, row["tag"]): (row["upstream_model"], row["pricing"]["prompt"], row["pricing"]["completion"])
                 for id, row in endpoints() if (id, row["tag"]) in known}
        self.assertEqual(found, known)


class Providers(unittest.TestCase):
    def test_rows_are_complete(self):
        rows = providers()
        slugs = [row["slug"] for row in rows]
        self.assertEqual(slugs, sorted(set(slugs)))
        for row in rows:
            self.assertLessEqual({"slug", "name", "dialect", "api_key_env", "source"}, set(row))
            self.assertIn(row["dialect"], DIALECTS)
            self.assertLessEqual(set(row.get("env", {})), SETTINGS)
            keyless = "keyless" in row.get("quirks", [])
            self.assertEqual(row.get("allow_private_network", False), keyless, row["slug"])
            addressed = {"base_url", "resource_name"} & set(row.get("env", {})) or row["dialect"] in ("bedrock", "vertex")
            self.assertTrue("base_url" in row or addressed, row["slug"])
            self.assertRegex(row["slug"], r"^[a-z0-9-]+$")
            self.assertTrue(row["api_key_env"])
            for name in row["api_key_env"]:
                self.assertRegex(name, r"^[A-Z][A-Z0-9_]+_(KEY|TOKEN|BEDROCK)$")
            for field, value in row.items():
                if field == "source" or field.endswith("_url"):
                    own = r"^http://localhost:\d+[^\s]*$" if keyless and field == "base_url" else r"^https://[^\s]+$"
                    self.assertRegex(value, own, row["slug"])
            self.assertFalse(row.get("base_url", "").endswith("/"), "/chat/completions is appended to it")
            self.assertLessEqual(set(row.get("data_policy", {})), {"training", "retention_days", "zdr"})

    def test_no_variable_belongs_to_two_providers(self):
        names = [name for row in providers() for names in [row["api_key_env"], *row.get("env", {}).values()] for name in names]
        self.assertEqual(len(names), len(set(names)))

    def test_every_quirk_is_documented_and_used(self):
        used = {quirk for row in [*providers(), *(row for _, row in endpoints())] for quirk in row.get("quirks", [])}
        section = DOCUMENT.split("\n## Quirks\n")[1]
        self.assertEqual(used, set(re.findall(r"^\| `([a-z0-9_]+)` \|", section, re.M)))

    def test_every_data_policy_says_where_it_is_published(self):
        stated = {row["slug"] for row in providers() if "data_policy" in row}
        section = DOCUMENT.split("\n| Provider | Published at |\n")[1].split("\n\n")[0]
        self.assertEqual(stated, set(re.findall(r"^\| ([a-z0-9-]+) \| https://", section, re.M)))

    def test_the_document_counts_what_is_there(self):
        pin = json.loads((CATALOG / "source.json").read_text())
        several = sum(len({row["provider"] for row in model["endpoints"]}) > 1 for model in models())
        self.assertIn(f"`{pin['package']}` {pin['version']} ", DOCUMENT)
        self.assertIn(f"taken on {pin['as_of']} ", DOCUMENT)
        self.assertIn(f"| {len(models())}, {len(endpoints())}; {several} models are offered by several providers |", DOCUMENT)
        self.assertIn(f"| {len(providers())} rows, {len({row['provider'] for _, row in endpoints()})} of them with prices ", DOCUMENT)

    def test_rules_name_only_providers_that_exist(self):
        slugs = {row["slug"] for row in providers()}
        self.assertLessEqual({row["slug"] for row in table("sources").values()}, slugs)
        self.assertLessEqual(set(table("features")["parameters"]["also"]), slugs)
        for mode in table("features")["modes"].values():
            named = {*mode.get("providers", []), *mode.get("as_chat", []), *mode.get("parameters", {})}
            self.assertLessEqual(named - {"every"}, slugs)
        patterns = [row["match"] for row in table("skip")["skip"] + table("features")["quirks"]] + list(table("names")["upstreams"])
        self.assertLessEqual({pattern.split(":")[0] for pattern in patterns}, slugs)


class Builder(unittest.TestCase):
    def build(self, folder, *more):
        command = [sys.executable, str(BUILD), "--from", str(HERE / "fixture_map.json"), "--as-of", "2026-01-15", "--out", folder]
        return subprocess.run([*command, *more], capture_output=True, text=True)

    def test_a_small_map_gives_exactly_the_expected_lines(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.build(folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual((Path(folder) / "models.jsonl").read_text(), (HERE / "fixture_models.jsonl").read_text())

    def test_everything_left_out_is_reported(self):
        with tempfile.TemporaryDirectory() as folder:
            report = self.build(folder, "--verbose").stdout
        for key in ("azure/eu/gpt-4o", "1024-x-1024/gpt-image-9", "eu.anthropic.claude-opus-4-5-20251101-v1:0",
                    "vertex_ai/xai/grok-4.6", "gemini/imagen-9", "voyage/free", "nebius/openai/gpt-4o",
                    "gpt-old", "gpt-video", "gpt-realtime", "gpt-unpriced", "ft:gpt-4o", "somewhere/else", "mistral/labs-free",
                    "novita/unknown-name", "fireworks_ai/kimi-k2p7-code", "fireworks_ai/accounts/fireworks/models/pythia-12b"):
            self.assertRegex(report, rf"(?m)^ +{re.escape(key)}$")
        self.assertIn("1 prices of other service tiers", report)

    def test_a_missing_file_is_one_clear_line(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.build(folder, "--from", str(Path(folder) / "none.json"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^catalog: .*none\.json")
        self.assertNotIn("Traceback", done.stderr)

    def test_prices_are_exact(self):
        cases = {"2.5E-6": "0.0000025", "9.499999999999999e-07": "0.00000095", "1.6000000000000001e-06": "0.0000016",
                 "0.0": "0", "0": "0", "1E-12": "0.000000000001", "1.41953125e-07": "0.000000141953125", "10": "10"}
        self.assertEqual({text: pricing.text(Decimal(text)) for text in cases}, cases)

    def test_names(self):
        sources = table("sources")
        cases = {
            ("openai", "gpt-4o-2024-08-06"): ("openai/gpt-4o-2024-08-06", None, None),
            ("anthropic", "claude-opus-4-5-20251101"): ("anthropic/claude-opus-4.5-20251101", None, None),
            ("anthropic", "claude-sonnet-5"): ("anthropic/claude-sonnet-5", None, None),
            ("groq", "llama-3.3-70b-versatile"): ("meta-llama/llama-3.3-70b-instruct", None, None),
            ("together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo"): ("meta-llama/llama-3.3-70b-instruct", "turbo", None),
            ("together_ai", "moonshotai/Kimi-K2.5-fp4"): ("moonshotai/kimi-k2.5", None, "fp4"),
            ("fireworks_ai", "accounts/fireworks/routers/glm-5p3-fast"): ("z-ai/glm-5.3", "fast", None),
            ("novita", "zai-org/glm-5-turbo"): ("z-ai/glm-5-turbo", None, None),
            ("sambanova", "Meta-Llama-3.3-70B-Instruct"): ("meta-llama/llama-3.3-70b-instruct", None, None),
            ("minimax", "MiniMax-M2.1-lightning"): ("minimax/minimax-m2.1", "lightning", None),
            ("mistral", "zai-glm-5-3"): ("z-ai/glm-5.3", None, None),
            ("bedrock_converse", "global.anthropic.claude-opus-4-6-v1"): ("anthropic/claude-opus-4.6", None, None),
            ("bedrock_converse", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"): ("anthropic/claude-sonnet-4.5", None, None),
            ("bedrock_converse", "us.meta.llama4-scout-17b-instruct-v1:0"): ("meta-llama/llama-4-scout", None, None),
            ("bedrock_converse", "deepseek.v3.2"): ("deepseek/deepseek-v3.2", None, None),
            ("bedrock_converse", "us.amazon.nova-lite-v1:0"): ("amazon/nova-lite-v1", None, None),
            ("bedrock_converse", "openai.gpt-oss-120b-1:0"): ("openai/gpt-oss-120b", None, None),
            ("vertex_ai-anthropic_models", "claude-haiku-4-5@20251001"): ("anthropic/claude-haiku-4.5", None, None),
            ("azure", "gpt-35-turbo"): ("openai/gpt-3.5-turbo", None, None),
            ("voyage", "voyage-4"): ("voyageai/voyage-4", None, None),
        }
        for (source, upstream), expected in cases.items():
            found = naming.identify(sources[source], upstream)
            self.assertEqual((found.id, found.variant, found.quantization), expected, upstream)
        self.assertIsNone(naming.identify(sources["novita"], "unknown-name"))


if __name__ == "__main__":
    unittest.main()
