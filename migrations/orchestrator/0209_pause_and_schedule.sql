-- An operator has paused the saga: nothing is begun, sent or undone until it is resumed.
ALTER TABLE saga ADD COLUMN paused bool NOT NULL DEFAULT false;
-- When it was to begin; NULL: at once.
ALTER TABLE saga ADD COLUMN start_at timestamptz;
