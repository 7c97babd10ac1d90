#include "timeline.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* "action_succeeded" reads as "action succeeded". */
static void print_event(const char *event)
{
    char words[64];
    snprintf(words, sizeof words, "%s", event);
    for (char *c = words; *c; c++) {
        if (*c == '_')
            *c = ' ';
    }
    printf("  %-24s", words);
}

static void print_detail(const json_t *detail)
{
    const char *code = text(detail, "code"), *message = text(detail, "message");
    const char *by = text(detail, "by"), *reason = text(detail, "reason");
    if (*code)
        printf("  %s%s%s", code, *message ? ": " : "", message);
    if (*by)
        printf("  %s%s%s", by, *reason ? ": " : "", reason);
}

void timeline_print(const json_t *entries)
{
    int64_t first_ms = 0;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        json_int_t attempt = json_integer_value(json_object_get(entry, "attempt"));
        int64_t at_ms = 0;
        (void)clock_parse(text(entry, "at"), &at_ms);
        first_ms = i ? first_ms : at_ms;
        printf("%8lld ms", (long long)(at_ms - first_ms));
        print_event(text(entry, "event"));
        printf("  %-20s", text(entry, "step"));
        if (attempt > 1)
            printf("  attempt %lld", (long long)attempt);
        print_detail(json_object_get(entry, "detail"));
        printf("\n");
    }
}
