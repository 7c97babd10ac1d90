/* What the engine counts: sagas and steps by definition, batches by the thread that carried them. Kept in memory since the
 * process began; a crash forgets it, as metrics do. Any thread. */
#ifndef ENGINE_TALLY_H
#define ENGINE_TALLY_H

#include <stdint.h>

#include "base/buf.h"
#include "core/machine.h"
#include "store/store.h"

struct tally;

enum tally_batch { TALLY_STARTS, TALLY_REPLIES, TALLY_TIMERS, TALLY_BATCHES_N };

struct tally *tally_new(void);
void tally_free(struct tally *tally);

/* A saga as it was just committed, with what was added to its history. */
void tally_saga(struct tally *tally, const struct saga *saga, const struct history_entry *history);
/* A batch of `n` items that took `us` microseconds until each of them was committed or answered. */
void tally_batch(struct tally *tally, enum tally_batch kind, size_t n, int64_t us);
/* What happened in the present minute and the one before, by definition, where anything was counted after `since` (0: ever),
 * with its durations in the arena. Returns the `since` for the next time. */
uint64_t tally_minutes(struct tally *tally, uint64_t since, struct arena *arena, struct store_minute **out, size_t *n);
/* All of it as metrics. */
void tally_write(struct tally *tally, struct buf *out);

#endif
