-- A saga that is a step of another: of which, what that one has last ordered (start, undo, superseded), and in which round.
ALTER TABLE saga ADD COLUMN parent_id uuid;
ALTER TABLE saga ADD COLUMN parent_step text;
ALTER TABLE saga ADD COLUMN parent_order text;
ALTER TABLE saga ADD COLUMN parent_round int NOT NULL DEFAULT 0;
CREATE INDEX saga_parent ON saga (parent_id, id) WHERE parent_id IS NOT NULL;
