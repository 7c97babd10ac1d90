/* A dear question that many ask: one of them asks it, the others take the last answer. The turn says whose it is and how long
 * an answer is good; the answer itself is the owner's, read and written under the same lock. Any thread. */
#ifndef BASE_TURN_H
#define BASE_TURN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct turn {
    pthread_mutex_t lock; /* of the answer, too */
    int64_t until_ms;     /* clock_mono_ms until which it is good; 0: ask */
    bool taken;
};

void turn_open(struct turn *turn);
void turn_close(struct turn *turn);
/* Whether it is the caller's to ask, now that the answer is too old and nobody else does. Then turn_done must follow. */
bool turn_take(struct turn *turn);
/* With the lock held, the answer in place: it is good for `good_for_ms`, 0: not at all. */
void turn_done(struct turn *turn, int64_t good_for_ms);

#endif
