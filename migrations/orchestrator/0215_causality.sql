-- What a saga knows of the order of effects on its entities: a vector clock, {"order:7": {"payment": 3}}.
ALTER TABLE saga ADD COLUMN clock json;

-- Each effect on an entity, by the number that the service gave it. A child's are its own: its root is found by its parents.
CREATE TABLE entity_touch (
    namespace  text        NOT NULL,
    key        text        NOT NULL,
    saga_id    uuid        NOT NULL,
    step       text        NOT NULL,
    kind       text        NOT NULL CHECK (kind IN ('action', 'compensation')),
    service    text        NOT NULL,
    number     bigint      NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, key, saga_id, step, kind)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX entity_touch_time ON entity_touch (namespace, key, touched_at);
