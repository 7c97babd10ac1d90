/* The invariants, checked on the real tables of the orchestrator and of the three services. */
#ifndef BOOKS_H
#define BOOKS_H

#include "world.h"

/* Waits until no saga is under way and no outbox holds a row. */
void books_await_rest(struct world *world, int within_s);
/* Every saga's effects on the services agree with its end, each key took effect at most once, compensations ran in the
 * reverse order of the actions, no action took effect after its compensation, and the sums agree. Fails the test with the
 * first saga that breaks one. */
void books_check(struct world *world);

#endif
