-- How often the service has touched each entity (a business object that sagas name): counted up with each effect and in its transaction, so
-- the numbers are the order of effects here. A repeat is answered with the numbers of the effect, which stand in its record.
CREATE TABLE entity_clock (
    namespace text   NOT NULL,
    key       text   NOT NULL,
    n         bigint NOT NULL,
    PRIMARY KEY (namespace, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

ALTER TABLE inbox ADD COLUMN clock text;
