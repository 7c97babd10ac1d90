/* What a relay tells of its work: its counts, its metrics, the log line of a message that went out. */
#include "base/log.h"
#include "parts.h"
#include "wire/label.h"

void counts_open(struct counts *counts)
{
    pthread_mutex_init(&counts->lock, NULL);
    counts->handed_times.shape = &histogram_short_durations;
    counts->round_rows.shape = &histogram_sizes;
    counts->round_times.shape = &histogram_short_durations;
}

void counts_close(struct counts *counts)
{
    pthread_mutex_destroy(&counts->lock);
}

void counts_handed(struct counts *counts, int64_t us)
{
    pthread_mutex_lock(&counts->lock);
    histogram_observe(&counts->handed_times, us);
    pthread_mutex_unlock(&counts->lock);
}

void counts_round(struct counts *counts, size_t rows, int64_t us)
{
    pthread_mutex_lock(&counts->lock);
    histogram_observe(&counts->round_rows, (int64_t)rows);
    histogram_observe(&counts->round_times, us);
    pthread_mutex_unlock(&counts->lock);
}

void relay_log_published(const struct wire_message *message)
{
    if (!log_enabled(LOG_DEBUG))
        return;
    struct wire_label label = wire_label_of(message);
    log_line(LOG_DEBUG, "relay.published", LOG_LABEL(&label), LOG_STR("topic", message->topic));
}

void relay_stats(struct relay *relay, struct relay_stats *stats)
{
    *stats = (struct relay_stats){atomic_load(&relay->published), atomic_load(&relay->dead), atomic_load(&relay->failed),
                                  atomic_load(&relay->healthy)};
}

static void write_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    metric_family(out, name, "counter", help);
    metric_value(out, name, NULL, (double)value);
}

static void write_histogram(struct buf *out, const char *name, const char *help, const struct histogram *histogram)
{
    metric_family(out, name, "histogram", help);
    metric_histogram(out, name, NULL, histogram);
}

void relay_metrics(struct relay *relay, struct buf *out)
{
    struct relay_stats stats;
    relay_stats(relay, &stats);
    write_counter(out, "saga_relay_published_total", "Messages that Kafka has acknowledged.", stats.published);
    write_counter(out, "saga_relay_failed_total", "Messages that were left in the outbox to be sent again.", stats.failed);
    pthread_mutex_lock(&relay->counts.lock);
    write_histogram(out, "saga_relay_handed_seconds",
                    "From the beginning of the transaction that wrote a message to its acknowledgement, for those sent without being read back.",
                    &relay->counts.handed_times);
    write_histogram(out, "saga_relay_batch_rows", "Outbox rows pulled at once.", &relay->counts.round_rows);
    write_histogram(out, "saga_relay_batch_seconds", "From pulling such rows to the acknowledgement of the last one.",
                    &relay->counts.round_times);
    pthread_mutex_unlock(&relay->counts.lock);
}
