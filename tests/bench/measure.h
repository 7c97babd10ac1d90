/* What a run costs: CPU and memory of processes from /proc, counters of PostgreSQL, offsets of Kafka. One thread. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "pg/pg.h"

struct process {
    char name[48];
    pid_t pid;
    bool with_children; /* PostgreSQL: the postmaster and its servers, those that have ended too */
};

/* Seconds of CPU since the process began; 0 when it is gone. */
double process_cpu_s(const struct process *process);
/* Resident memory; with children: proportional set sizes, so that shared memory counts once. */
double process_rss_mb(const struct process *process);

struct database_counters {
    int64_t statements, commits, wal_bytes, seq_scans;
};
/* Makes the extension that counts statements; it must be among the server's shared_preload_libraries. */
MUST_CHECK bool database_prepare(struct pg *pg, struct err *err);
/* Forgets what the statements have taken. */
MUST_CHECK bool database_reset(struct pg *pg, struct err *err);
/* The `limit` statements that have taken most since then: the beginning of each and its milliseconds, an object for the
 * caller to release. */
MUST_CHECK bool database_statements(struct pg *pg, int limit, json_t **out, struct err *err);
MUST_CHECK bool database_read(struct pg *pg, struct database_counters *counters, struct err *err);

/* How many messages the topics that begin with `prefix` have ever held; -1 when the broker does not say. */
int64_t kafka_messages(const char *brokers, const char *prefix);

#endif
