-- An operator goes on without the step: it is WAIVED, or will be once its compensation has fenced it.
ALTER TABLE step ADD COLUMN waived bool NOT NULL DEFAULT false;
