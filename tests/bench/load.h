/* The load generator: HTTP clients over one epoll loop, on the caller's thread. Each client has a connection of its own and
 * one saga under way. Any answer that is not expected ends the run. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "samples.h"

enum load_kind {
    LOAD_WAIT,   /* one request a saga: start it and wait for its end */
    LOAD_START,  /* only start it; a 429 is obeyed, by its Retry-After */
    LOAD_FOLLOW, /* start it, then wait for its end by another request: both durations are measured */
};

struct load_plan {
    const char *name; /* for the progress line */
    int port;         /* on 127.0.0.1 */
    enum load_kind kind;
    int clients;
    double rate;      /* starts a second, whatever the answers do (open loop); 0: each client starts when its saga ended */
    uint64_t count;   /* so many sagas, then it ends; 0: by time */
    int64_t warm_up_ms, duration_ms;
    const char *end_state; /* that every saga has to reach, of LOAD_WAIT and LOAD_FOLLOW */
    void (*write_body)(struct buf *body, uint64_t n); /* of the n-th start */
    /* The measured time begins and ends; may be NULL. */
    void (*on_window)(void *context, bool begins);
    void *context;
};

struct load_result {
    uint64_t started, ended, refused; /* of the whole run; refused: answered 429 */
    double per_s, first_third_per_s, last_third_per_s; /* ends (LOAD_START: accepted starts) of the measured time */
    double busy;                 /* of the generator's thread in the measured time: 1 is a whole core */
    struct samples start, e2e;   /* of the measured time; open loop: from the moment at which the start was due */
    char failure[300];
};

/* False with result->failure set. The caller frees the samples. Prints a progress line every second. */
bool load_run(const struct load_plan *plan, struct load_result *result);

#endif
