#include "base/queue.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/wake.h"

/* The bell is rung exactly while there is something to take or the queue is closed; it changes under the lock. */
struct queue {
    pthread_mutex_t lock;
    void **items; /* a ring of `max` places */
    size_t max, first, n;
    int fd;
    bool closed;
};

struct queue *queue_new(size_t max)
{
    struct queue *queue = mem_alloc(sizeof *queue);
    queue->fd = wake_new();
    queue->items = mem_array(max, sizeof *queue->items);
    queue->max = max;
    pthread_mutex_init(&queue->lock, NULL);
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    pthread_mutex_destroy(&queue->lock);
    close(queue->fd);
    free(queue->items);
    free(queue);
}

bool queue_push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    bool fits = !queue->closed && queue->n < queue->max;
    if (fits) {
        queue->items[(queue->first + queue->n++) % queue->max] = item;
        if (queue->n == 1)
            wake_ring(queue->fd);
    }
    pthread_mutex_unlock(&queue->lock);
    return fits;
}

size_t queue_take(struct queue *queue, void **items, size_t max)
{
    size_t taken = 0;
    pthread_mutex_lock(&queue->lock);
    for (; taken < max && queue->n; taken++, queue->n--) {
        items[taken] = queue->items[queue->first];
        queue->first = (queue->first + 1) % queue->max;
    }
    if (taken && !queue->n && !queue->closed)
        wake_clear(queue->fd);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

size_t queue_wait(struct queue *queue, void **items, size_t max, int timeout_ms)
{
    int64_t deadline = clock_mono_ms() + timeout_ms;
    for (;;) {
        size_t taken = queue_take(queue, items, max);
        int64_t left = timeout_ms < 0 ? -1 : deadline - clock_mono_ms();
        if (taken || queue_closed(queue) || (timeout_ms >= 0 && left <= 0))
            return taken;
        struct pollfd poll_fd = {.fd = queue->fd, .events = POLLIN};
        poll(&poll_fd, 1, (int)left);
    }
}

int queue_fd(const struct queue *queue)
{
    return queue->fd;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    wake_ring(queue->fd);
    pthread_mutex_unlock(&queue->lock);
}

bool queue_closed(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool closed = queue->closed;
    pthread_mutex_unlock(&queue->lock);
    return closed;
}

size_t queue_len(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t n = queue->n;
    pthread_mutex_unlock(&queue->lock);
    return n;
}
