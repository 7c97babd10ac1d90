-- A saga's version is the number of its last row of history: whoever writes number n + 1 has seen number n, since the primary
-- key lets only one do so. No lock is needed, and the saga's own row is written only when it says something else.
ALTER TABLE saga DROP COLUMN history_n;
