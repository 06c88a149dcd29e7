-- Two statements and a comment, as real migrations have.
CREATE TABLE thing (id TEXT PRIMARY KEY, n INTEGER NOT NULL, note TEXT);
CREATE INDEX thing_n ON thing (n);
