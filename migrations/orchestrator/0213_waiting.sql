-- Sagas that wait for their time or for entities, and those that are paused: they are counted without reading the others.
CREATE INDEX saga_waiting ON saga (state) WHERE ended_at IS NULL AND (paused OR state IN ('SCHEDULED', 'QUEUED'));
