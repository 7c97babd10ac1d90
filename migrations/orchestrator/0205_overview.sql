-- Who works on this schema: each program says every 10 s that it lives, and takes its row away when it ends.
CREATE TABLE process (
    id         uuid        PRIMARY KEY,
    program    text        NOT NULL,
    version    text        NOT NULL,
    host       text        NOT NULL,
    pid        int         NOT NULL,
    roles      text        NOT NULL,
    healthy    bool        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
);

-- What happened in each minute, as each process counted it; kept for a day. `durations` counts the sagas that ended by how
-- long they took, in the buckets of histogram_fine (lib/base). A crash loses the last seconds: these are figures to look at,
-- not the books.
CREATE TABLE saga_minute (
    minute      timestamptz NOT NULL,
    process     uuid        NOT NULL,
    definition  text        NOT NULL,
    started     bigint      NOT NULL,
    completed   bigint      NOT NULL,
    compensated bigint      NOT NULL,
    stalled     bigint      NOT NULL,
    durations   bigint[]    NOT NULL,
    PRIMARY KEY (minute, process, definition)
);
