-- What the gateway knows of every generation, and what is summed up of them.
-- Written by the consumer of the queue (src/metering/rollup.rs), read by the management API.
-- Money is whole nano-dollars; times are milliseconds since 1970-01-01T00:00:00Z.

CREATE TABLE generations (
    id                       TEXT PRIMARY KEY,
    created_at               INTEGER NOT NULL,
    org                      TEXT NOT NULL,
    workspace_id             TEXT NOT NULL,
    key_hash                 TEXT NOT NULL,
    requested_model          TEXT,
    model                    TEXT,
    provider                 TEXT,
    provider_name            TEXT,
    tag                      TEXT,
    upstream_model           TEXT,
    upstream_id              TEXT,
    streamed                 INTEGER NOT NULL,
    cancelled                INTEGER NOT NULL,
    outcome                  TEXT NOT NULL,
    status                   INTEGER NOT NULL,
    error_type               TEXT,
    finish_reason            TEXT,
    native_finish_reason     TEXT,
    ttft_ms                  REAL,
    latency_ms               REAL,
    generation_ms            REAL,
    prompt_tokens            INTEGER NOT NULL,
    completion_tokens        INTEGER NOT NULL,
    cached_tokens            INTEGER NOT NULL,
    cache_write_tokens       INTEGER NOT NULL,
    prompt_audio_tokens      INTEGER NOT NULL,
    reasoning_tokens         INTEGER NOT NULL,
    completion_audio_tokens  INTEGER NOT NULL,
    completion_image_tokens  INTEGER NOT NULL,
    estimated                INTEGER NOT NULL,
    cost_nano                INTEGER,
    prompt_cost_nano         INTEGER,
    completion_cost_nano     INTEGER,
    cache_discount_nano      INTEGER,
    provider_cost_usd        REAL,
    price_version            TEXT,
    strategy                 TEXT,
    attempts                 TEXT NOT NULL,
    user                     TEXT,
    session_id               TEXT,
    user_agent               TEXT,
    http_referer             TEXT,
    app_title                TEXT,
    service_tier             TEXT
);
CREATE INDEX generations_by_time ON generations (org, created_at, id);
CREATE INDEX generations_by_key ON generations (key_hash, created_at, id);
CREATE INDEX generations_by_upstream_id ON generations (upstream_id) WHERE upstream_id IS NOT NULL;

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
