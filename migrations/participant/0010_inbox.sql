-- Commands already seen, one row for each (saga, step, kind). Written in the transaction of the effect and of the reply, so
-- that a command takes effect once however often it comes. 'refused' on an action's key is the fence that its compensation
-- put there.
CREATE TABLE inbox (
    namespace   text        NOT NULL,
    saga_id     uuid        NOT NULL,
    step        text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('action', 'compensation')),
    round       int         NOT NULL,
    verdict     text        CHECK (verdict IN ('succeeded', 'failed', 'refused')),
    reply       text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, saga_id, step, kind)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
