/* What a log line says of a command or reply: its saga, step, attempt and trace. */
#ifndef WIRE_LABEL_H
#define WIRE_LABEL_H

#include "base/log.h"
#include "wire/wire.h"

struct wire_label {
    char saga_id[UUID_TEXT_MAX], step[WIRE_NAME_MAX], kind[16], trace_id[WIRE_TRACE_ID_MAX]; /* empty: not known */
    int attempt; /* 0: not known */
};

/* Expands to fields of log_line. */
#define LOG_LABEL(l) LOG_STR("saga_id", (l)->saga_id), LOG_STR("step", (l)->step), LOG_STR("kind", (l)->kind), \
                     LOG_INT("attempt", (l)->attempt), LOG_STR("trace_id", (l)->trace_id)

/* Any thread. */
struct wire_label wire_label(const struct wire_about *about, const char *traceparent);
/* Of any message, also one that is no command and no reply: what it says that can be true. */
struct wire_label wire_label_of(const struct wire_message *message);

#endif
