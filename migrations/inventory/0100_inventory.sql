CREATE TABLE stock (
    sku       text   PRIMARY KEY,
    available bigint NOT NULL CHECK (available >= 0)
) WITH (fillfactor = 20);

CREATE TABLE reservation (
    id       uuid   PRIMARY KEY,
    saga_id  uuid   NOT NULL,
    sku      text   NOT NULL REFERENCES stock (sku),
    qty      bigint NOT NULL CHECK (qty > 0),
    released bool   NOT NULL DEFAULT false
);

INSERT INTO stock (sku, available) VALUES ('book', 1000000), ('lamp', 1000000), ('unicorn', 0);
