ALTER TABLE thing ADD COLUMN extra BLOB;
INSERT INTO thing (id, n) VALUES ('seed', 0);
