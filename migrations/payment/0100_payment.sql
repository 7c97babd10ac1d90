-- Amounts are whole cents. `outage_attempts` stands for a bank that is hard to reach: it answers only from that attempt on.
CREATE TABLE account (
    id              text   PRIMARY KEY,
    balance         bigint NOT NULL CHECK (balance >= 0),
    blocked         bool   NOT NULL DEFAULT false,
    charge_max      bigint NOT NULL,
    outage_attempts int    NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

CREATE TABLE charge (
    id       uuid   PRIMARY KEY,
    saga_id  uuid   NOT NULL,
    account  text   NOT NULL REFERENCES account (id),
    amount   bigint NOT NULL CHECK (amount > 0),
    refunded bool   NOT NULL DEFAULT false
);

INSERT INTO account (id, balance, blocked, charge_max, outage_attempts) VALUES
    ('alice', 1000000000000, false, 500000, 0),
    ('bob', 100, false, 500000, 0),
    ('mallory', 1000000000000, true, 500000, 0),
    ('slow-bank', 1000000000000, false, 500000, 3);
