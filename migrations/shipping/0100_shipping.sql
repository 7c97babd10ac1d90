CREATE TABLE zone (country text PRIMARY KEY);

CREATE TABLE shipment (
    id        uuid PRIMARY KEY,
    saga_id   uuid NOT NULL,
    country   text NOT NULL REFERENCES zone (country),
    address   text NOT NULL,
    cancelled bool NOT NULL DEFAULT false
);

INSERT INTO zone (country) VALUES ('DE'), ('FR'), ('GB'), ('JP'), ('US');
