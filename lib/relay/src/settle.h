/* What becomes of outbox rows once the fate of their message is known, many rows at once and off every saga's path. A crash
 * before that leaves the rows under their lease. Any thread adds, the relay's thread runs. */
#ifndef RELAY_SETTLE_H
#define RELAY_SETTLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pg/pg.h"

enum fate {
    FATE_SENT,     /* acknowledged, or a dead letter instead: the row is deleted */
    FATE_UNSENT,   /* sure not to have reached the broker: as if it had never been claimed, so that it may be withdrawn */
    FATE_DOUBTFUL, /* it may have: pulled again, but never withdrawn */
    FATES_N,
};

struct settled_row {
    uint64_t tid;
    struct uuid id;
};

struct settle {
    pthread_mutex_t lock;
    struct settled_rows {
        struct settled_row *rows;
        size_t n, cap;
    } sets[FATES_N];
    int64_t since_ms; /* the first of them waits since then */
};

void settle_open(struct settle *settle);
void settle_close(struct settle *settle);
/* What a report says: `err` NULL when the message arrived. */
enum fate settle_fate(const struct err *err);
void settle_add(struct settle *settle, enum fate fate, const struct settled_row *row);
/* When settle_run has something to do: clock_mono_ms, INT64_MAX for never. */
int64_t settle_due_ms(struct settle *settle);
/* *gave_back when there are rows to pull now. On failure the rows are kept for the next call. */
MUST_CHECK bool settle_run(struct settle *settle, struct pg *pg, bool *gave_back, struct err *err);

#endif
