-- Whoever looks at the queues of entity keys or changes them holds the locks of all their buckets (a hash of the key), taken in order
-- and before any other lock: so no two sagas each head half a queue, and no turn is missed.
CREATE TABLE entity_lock (bucket int PRIMARY KEY);
INSERT INTO entity_lock SELECT generate_series(0, 255);

-- The queues: of each key the row with the lowest seq is the holder's. A saga's rows are there from its turn to ask until its end.
CREATE TABLE entity_claim (
    namespace  text        NOT NULL,
    key        text        NOT NULL,
    seq        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    saga_id    uuid        NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, key, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX entity_claim_saga ON entity_claim (saga_id);
