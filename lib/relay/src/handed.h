/* Rows that this process has inserted under a lease and sent by itself, until they are deleted. They are never read: what
 * was acknowledged is deleted, many rows at once and off every saga's path; what was not is given back and pulled like any
 * other row. A crash leaves the rows, and their leases pass. */
#ifndef RELAY_HANDED_H
#define RELAY_HANDED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pg/pg.h"

/* The tag of a message begins with where it came from. */
enum sent_origin { SENT_PULLED, SENT_HANDED };

struct handed_row {
    enum sent_origin origin;
    uint64_t tid;
    struct uuid id;
    int64_t begun_ms; /* clock_mono_ms before its insert */
};

struct handed_set {
    struct handed_row **rows;
    size_t n, cap;
};

struct handed {
    pthread_mutex_t lock;
    struct handed_set acked, back;
    int64_t since_ms; /* the first of them waits since then */
};

void handed_init(struct handed *handed);
void handed_free(struct handed *handed);
/* Any thread. Takes over the row, whose message arrived or will not. */
void handed_acked(struct handed *handed, struct handed_row *row);
void handed_back(struct handed *handed, struct handed_row *row);
/* When handed_settle has something to do: clock_mono_ms, INT64_MAX for never. */
int64_t handed_due_ms(struct handed *handed);
/* Deletes and gives back; *gave_back when there are rows to pull now. On failure they are kept for the next call. */
MUST_CHECK bool handed_settle(struct handed *handed, struct pg *pg, bool *gave_back, struct err *err);

#endif
