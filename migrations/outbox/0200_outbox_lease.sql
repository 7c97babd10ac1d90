-- The process that inserts a row may send it by itself: until then no other relay takes it, and nobody withdraws it.
ALTER TABLE outbox ADD COLUMN leased_until timestamptz;
