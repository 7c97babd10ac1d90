-- The present attempt asks what became of the action.
ALTER TABLE step ADD COLUMN probing bool NOT NULL DEFAULT false;
