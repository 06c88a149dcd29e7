-- What the gateway knows of every generation, and what is summed up of them.
-- Written by the consumer of the queue (src/metering/rollup.rs), read by the management API.
-- Money is whole nano-dollars; times are milliseconds since 1970-01-01T00:00:00Z.

-- An event is kept as it came, beside what it is found by: taking one apart into forty columns costs
-- more than everything else that is done with it.
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    key_hash     TEXT NOT NULL,
    upstream_id  TEXT,
    event        TEXT NOT NULL,
    replaced     TEXT
);
CREATE INDEX events_by_time ON events (created_at, id);
CREATE INDEX events_by_key ON events (key_hash, created_at, id);
-- An event of outcome "lost" whose true one came after all; until the sums are put right.
CREATE INDEX events_replaced ON events (replaced) WHERE replaced IS NOT NULL;
CREATE INDEX events_by_upstream_id ON events (upstream_id) WHERE upstream_id IS NOT NULL;

-- How far the roll-up has counted.
CREATE TABLE rollup_cursor (seq INTEGER NOT NULL);
INSERT INTO rollup_cursor VALUES (0);

-- The events taken apart, for reading.
CREATE VIEW generations AS SELECT
    id, created_at, key_hash, upstream_id,
    event ->> '$.org' AS org,
    event ->> '$.workspace_id' AS workspace_id,
    event ->> '$.requested_model' AS requested_model,
    event ->> '$.model' AS model,
    event ->> '$.provider' AS provider,
    event ->> '$.provider_name' AS provider_name,
    event ->> '$.tag' AS tag,
    event ->> '$.upstream_model' AS upstream_model,
    event ->> '$.streamed' AS streamed,
    event ->> '$.cancelled' AS cancelled,
    event ->> '$.outcome' AS outcome,
    event ->> '$.status' AS status,
    event ->> '$.error_type' AS error_type,
    event ->> '$.finish_reason' AS finish_reason,
    event ->> '$.native_finish_reason' AS native_finish_reason,
    event ->> '$.ttft_ms' AS ttft_ms,
    event ->> '$.latency_ms' AS latency_ms,
    event ->> '$.generation_ms' AS generation_ms,
    event ->> '$.estimated' AS estimated,
    event ->> '$.cost_nano' AS cost_nano,
    event ->> '$.prompt_cost_nano' AS prompt_cost_nano,
    event ->> '$.completion_cost_nano' AS completion_cost_nano,
    event ->> '$.cache_discount_nano' AS cache_discount_nano,
    event ->> '$.provider_cost_usd' AS provider_cost_usd,
    event ->> '$.price_version' AS price_version,
    event ->> '$.strategy' AS strategy,
    event ->> '$.user' AS user,
    event ->> '$.session_id' AS session_id,
    event ->> '$.user_agent' AS user_agent,
    event ->> '$.http_referer' AS http_referer,
    event ->> '$.app_title' AS app_title,
    event ->> '$.service_tier' AS service_tier,
    coalesce(event ->> '$.tokens.prompt', 0) AS prompt_tokens,
    coalesce(event ->> '$.tokens.completion', 0) AS completion_tokens,
    coalesce(event ->> '$.tokens.cached', 0) AS cached_tokens,
    coalesce(event ->> '$.tokens.cache_write', 0) AS cache_write_tokens,
    coalesce(event ->> '$.tokens.prompt_audio', 0) AS prompt_audio_tokens,
    coalesce(event ->> '$.tokens.reasoning', 0) AS reasoning_tokens,
    coalesce(event ->> '$.tokens.completion_audio', 0) AS completion_audio_tokens,
    coalesce(event ->> '$.tokens.completion_image', 0) AS completion_image_tokens,
    event -> '$.attempts' AS attempts
FROM events;

-- One row a day and combination; an empty text stands for "none was reached".
CREATE TABLE rollup_daily (
    day                  TEXT NOT NULL,
    org                  TEXT NOT NULL,
    workspace_id         TEXT NOT NULL,
    key_hash             TEXT NOT NULL,
    model                TEXT NOT NULL,
    provider             TEXT NOT NULL,
    tag                  TEXT NOT NULL,
    provider_name        TEXT NOT NULL,
    requests             INTEGER NOT NULL,
    errors               INTEGER NOT NULL,
    cancelled            INTEGER NOT NULL,
    estimated            INTEGER NOT NULL,
    unpriced             INTEGER NOT NULL,
    prompt_tokens        INTEGER NOT NULL,
    completion_tokens    INTEGER NOT NULL,
    reasoning_tokens     INTEGER NOT NULL,
    cached_tokens        INTEGER NOT NULL,
    cache_write_tokens   INTEGER NOT NULL,
    cost_nano            INTEGER NOT NULL,
    cache_discount_nano  INTEGER NOT NULL,
    latency_ms           REAL NOT NULL,
    generation_ms        REAL NOT NULL,
    ttft_ms              REAL NOT NULL,
    ttft_count           INTEGER NOT NULL,
    PRIMARY KEY (day, org, workspace_id, key_hash, model, provider, tag)
) WITHOUT ROWID;

-- Messages that could not be taken in. They are kept until somebody removes them.
CREATE TABLE dead_letters (
    id           TEXT PRIMARY KEY,
    received_at  INTEGER NOT NULL,
    queue        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX dead_letters_by_time ON dead_letters (received_at, id);
