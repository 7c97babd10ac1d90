-- What the saga is about: of each definition and key at most one saga lives at a time.
ALTER TABLE saga ADD COLUMN key text;
CREATE UNIQUE INDEX saga_live_key ON saga (namespace, definition, key) WHERE key IS NOT NULL AND ended_at IS NULL;
-- What it is to be found by: an object of texts.
ALTER TABLE saga ADD COLUMN labels jsonb;
CREATE INDEX saga_labels ON saga USING gin (labels jsonb_path_ops) WHERE labels IS NOT NULL;
