-- Messages that wait for their way to Kafka. The orchestrator and every service have one of these; a relay reads it in the
-- order (xid, id) and deletes a row once the broker has acknowledged the message. `xid` is the inserting transaction: unlike
-- a sequence it tells, together with the snapshot's xmin, below which mark no row can appear any more.
CREATE TABLE outbox (
    xid        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    id         uuid        NOT NULL,
    topic      text        NOT NULL,
    key        text,
    headers    json        NOT NULL,
    value      text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (xid, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
