#include "saga_log.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "wire/wire.h"

/* The detail of an entry may hold what people wrote; the code of an error may be told. */
static const char *error_code(const json_t *detail)
{
    return json_string_value(json_object_get(detail, "code"));
}

static void log_entry(const struct saga *saga, const struct history_entry *entry, enum log_level level)
{
    char id[UUID_TEXT_MAX], trace[WIRE_TRACE_ID_MAX];
    struct err err;
    json_t *detail = entry->detail ? json_read(entry->detail, strlen(entry->detail), &err) : NULL;
    log_line(level, entry->event, LOG_STR("saga_id", uuid_format(&saga->id, id)),
             LOG_STR("definition", saga->definition->name),
             LOG_STR("step", entry->step >= 0 ? saga->definition->steps[entry->step].name : ""),
             LOG_INT("attempt", entry->attempt), LOG_STR("error_code", error_code(detail)),
             LOG_STR("trace_id", wire_trace_id(saga->traceparent, &saga->id, trace)));
    json_decref(detail);
}

void saga_log(const struct saga *saga, const struct history_entry *history)
{
    for (const struct history_entry *entry = history; entry; entry = entry->next) {
        bool alert = strcmp(entry->event, "saga_stalled") == 0 || strcmp(entry->event, "deadline_passed") == 0;
        enum log_level level = alert ? LOG_WARN : LOG_DEBUG;
        if (log_enabled(level))
            log_entry(saga, entry, level);
    }
}
