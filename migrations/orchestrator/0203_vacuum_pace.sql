-- A vacuum reads the indexes from end to end, so that one for every fiftieth row costs the more the more sagas there are,
-- and at full speed it takes a core from the sagas under way. What they leave behind can wait: it slows nobody down.
ALTER TABLE saga SET (autovacuum_vacuum_scale_factor = 0.1);
ALTER TABLE saga RESET (autovacuum_vacuum_cost_delay);
ALTER TABLE step SET (autovacuum_vacuum_scale_factor = 0.1);
ALTER TABLE step RESET (autovacuum_vacuum_cost_delay);
