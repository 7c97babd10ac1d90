CREATE TABLE definition (
    namespace  text        NOT NULL,
    name       text        NOT NULL,
    version    int         NOT NULL,
    source     json        NOT NULL,
    canonical  text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, name, version)
);

-- One row a saga. wake_at is when to look at it if nothing arrives; it is moved only by timers, so that a saga whose
-- replies come in time is updated without touching an index until it ends.
CREATE TABLE saga (
    id              uuid        PRIMARY KEY,
    namespace       text        NOT NULL,
    definition      text        NOT NULL,
    version         int         NOT NULL,
    state           text        NOT NULL,
    cancelled       bool        NOT NULL DEFAULT false,
    idempotency_key text,
    input           json        NOT NULL,
    history_n       bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    deadline_at     timestamptz,
    wake_at         timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX saga_wake ON saga (wake_at) WHERE wake_at IS NOT NULL;
CREATE UNIQUE INDEX saga_idempotency ON saga (namespace, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX saga_troubled ON saga (state, id) WHERE state IN ('COMPENSATING', 'STALLED');

-- One row a step, once it has begun; a step without a row is PENDING.
CREATE TABLE step (
    saga_id     uuid NOT NULL,
    position    int  NOT NULL,
    state       text NOT NULL,
    round       int  NOT NULL,
    attempt     int  NOT NULL,
    paused      bool NOT NULL,
    due_at      timestamptz,
    command_id  uuid NOT NULL,
    command_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    output      json,
    error       json,
    PRIMARY KEY (saga_id, position)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What happened, in batches: one row for each transaction that changed the saga. Only ever inserted.
CREATE TABLE history (
    saga_id uuid        NOT NULL,
    seq     bigint      NOT NULL,
    entries json        NOT NULL,
    PRIMARY KEY (saga_id, seq)
);
