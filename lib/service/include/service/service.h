/* What every long-running program shares: its log, its end, waiting for what it needs. */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/err.h"

struct service_config {
    const char *log_level;
    const char *log_format;
};

/* Rows of an option table for the member `m` (a struct service_config) of struct type `t`. */
#define SERVICE_OPTIONS(t, m)                                                                                          \
    {"log-level", CONF_STRING, offsetof(t, m.log_level), "info", "LEVEL", "debug, info, warn or error", 0, 0},         \
    {"log-format", CONF_STRING, offsetof(t, m.log_format), NULL, "FORM", "text or json, on standard error (default: text on a terminal, else json)", 0, 0}

/* Where the messages are, for every program that speaks Kafka. */
struct service_kafka {
    const char *brokers;
    const char *prefix;
};
#define SERVICE_KAFKA_OPTIONS(t, m)                                                                                    \
    {"kafka-brokers", CONF_STRING, offsetof(t, m.brokers), "127.0.0.1:9092", "LIST", "host:port, with commas between", \
     0, 0},                                                                                                            \
    {"topic-prefix", CONF_STRING, offsetof(t, m.prefix), "saga", "WORD", "what the topics' names begin with", 0, 0}

/* What a program that consumes is told besides. */
struct service_member {
    const char *instance; /* NULL: none */
    int partitions;
    int64_t fetch_wait_ms;
};
#define SERVICE_MEMBER_OPTIONS(t, m)                                                                                   \
    {"instance", CONF_STRING, offsetof(t, m.instance), NULL, "NAME",                                                   \
     "keeps its Kafka partitions over a restart; one name for each copy", 0, 0},                                       \
    {"partitions", CONF_INT, offsetof(t, m.partitions), "4", "N", "of topics that have to be made", 1, 1000},          \
    {"kafka-fetch-wait", CONF_DURATION, offsetof(t, m.fetch_wait_ms), "500ms", "TIME",                                 \
     "how long a broker holds an empty fetch", 1, 60000}

/* Reads the command line: prints --help, --version or what is wrong with it and then returns false with the exit status.
 * Otherwise sets up the log and blocks SIGTERM and SIGINT for all threads made later, for service_wait. Call first. */
bool service_open(const struct conf_spec *spec, int argc, char **argv, void *target, const struct service_config *config,
                  struct conf_result *result, int *exit_status);
/* Waits up to `timeout_ms` (-1: without end) for SIGTERM or SIGINT; true once one has come. */
bool service_wait(int64_t timeout_ms);

/* Calls `attempt` until it succeeds, fails for good, or the program is asked to end; says once that it waits and once that
 * it goes on. `what` names the thing waited for. False with `err` when it gave up (ERR_NONE: asked to end). */
MUST_CHECK bool service_retry(const char *what, bool (*attempt)(void *context, struct err *err), void *context,
                              struct err *err);

#endif
