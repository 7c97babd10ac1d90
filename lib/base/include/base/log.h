/* Log lines on standard error: one JSON object a line, or readable text. A line has a stable event name and typed
 * fields; inputs and outputs of sagas are people's data and are never logged. Any thread may call; a line is written
 * with one write(), so lines of several threads never mix. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_field_type { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_BOOL };

struct log_field {
    const char *name;
    enum log_field_type type;
    const char *str;
    int64_t num;
};

#define LOG_STR(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_STR, .str = (v)})
#define LOG_INT(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_INT, .num = (int64_t)(v)})
#define LOG_BOOL(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_BOOL, .num = (v) ? 1 : 0})
/* The three fields of an error: expands to several fields. */
#define LOG_ERR(e) LOG_STR("error", (e)->text), LOG_STR("error_code", (e)->code), \
                   LOG_STR("error_kind", err_kind_name((e)->kind))

/* Whether a line of this level would be written: before work that only the line needs. */
bool log_enabled(enum log_level level);
/* Writes a line when `level` is enabled; a text that is NULL leaves its field out: log_line(LOG_INFO, "relay.started", LOG_INT("lanes", 4)); at least one field. */
#define log_line(level, event, ...)                                                                                    \
    log_fields((level), (event), (const struct log_field[]){__VA_ARGS__},                                              \
               sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t fields_n);

/* Call once in main before other threads start. `program` must outlive the process. */
void log_init(const char *program, enum log_level min_level, bool json);
/* "debug", "info", "warn", "error"; false for any other word. */
bool log_level_parse(const char *word, enum log_level *level);

#endif
