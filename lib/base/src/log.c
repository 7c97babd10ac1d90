#include "base/log.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

#define LINE_MAX_BYTES 8192

static struct {
    const char *program;
    enum log_level min;
    bool json;
} config = {.program = "saga", .min = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *program, enum log_level min_level, bool json)
{
    config.program = program;
    config.min = min_level;
    config.json = json;
}

bool log_level_parse(const char *word, enum log_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(word, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* What is not UTF-8 came from outside, and is shown as far as it is ASCII. */
static void add_text(struct buf *line, const char *text)
{
    size_t len = strlen(text);
    if (text_utf8_prefix(text, len) == len) {
        buf_json_str(line, text);
        return;
    }
    char ascii[200];
    size_t n = 0;
    for (; text[n] && n < sizeof ascii - 1; n++)
        ascii[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
    ascii[n] = '\0';
    buf_json_str(line, ascii);
}

static void add_value(struct buf *line, const struct log_field *field)
{
    switch (field->type) {
    case LOG_FIELD_STR: add_text(line, field->str); return;
    case LOG_FIELD_INT: buf_printf(line, "%" PRId64, field->num); return;
    case LOG_FIELD_BOOL: buf_str(line, field->num ? "true" : "false"); return;
    }
}

static void add_json(struct buf *line, const char *time, enum log_level level, const char *event)
{
    buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":", time, level_names[level]);
    buf_json_str(line, config.program);
    buf_str(line, ",\"event\":");
    buf_json_str(line, event);
}

bool log_enabled(enum log_level level)
{
    return level >= config.min;
}

/* Text for people leaves out what is empty, too. */
static bool is_shown(const struct log_field *field)
{
    return field->type != LOG_FIELD_STR || (field->str && (config.json || *field->str));
}

/* One that does not fit is left out. */
static void add_field(struct buf *line, const struct log_field *field)
{
    size_t before = line->len;
    buf_printf(line, config.json ? ",\"%s\":" : " %s=", field->name);
    add_value(line, field);
    if (!line->failed)
        return;
    line->failed = false;
    line->len = before;
    line->data[before] = '\0';
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t fields_n)
{
    if (!log_enabled(level))
        return;
    char time[CLOCK_TEXT_MAX];
    struct buf line = buf_new(LINE_MAX_BYTES);
    clock_format(clock_real_ms(), time);
    if (config.json)
        add_json(&line, time, level, event);
    else
        buf_printf(&line, "%s %-5s %s %s", time, level_names[level], config.program, event);
    for (size_t i = 0; i < fields_n; i++) {
        if (is_shown(&fields[i]))
            add_field(&line, &fields[i]);
    }
    line.max += 2;
    buf_str(&line, config.json ? "}\n" : "\n");
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written; /* nowhere to report it to */
    buf_free(&line);
}
