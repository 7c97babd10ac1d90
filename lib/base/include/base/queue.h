/* A bounded queue of pointers between threads. The consumer takes everything that is there at once, which is how batches
 * grow with the load by themselves, and can wait on a file descriptor beside others. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct queue;

/* `max` is the number of items past which queue_push refuses. */
struct queue *queue_new(size_t max);
/* Items still inside are the caller's to free beforehand. NULL is fine. */
void queue_free(struct queue *queue);
/* Any thread. False when full or closed; the item then stays the caller's. */
bool queue_push(struct queue *queue, void *item);
/* Any thread: up to `max` items without waiting; returns how many. */
size_t queue_take(struct queue *queue, void **items, size_t max);
/* Any thread: as queue_take, but waits up to `timeout_ms` (-1: without end) for the first one. */
size_t queue_wait(struct queue *queue, void **items, size_t max, int timeout_ms);
/* Readable while the queue holds items or is closed. Owned by the queue. */
int queue_fd(const struct queue *queue);
/* Any thread: no more pushes; waiters wake. */
void queue_close(struct queue *queue);
bool queue_closed(struct queue *queue);
size_t queue_len(struct queue *queue);

#endif
