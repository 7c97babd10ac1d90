#include "wire/label.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_trace(struct wire_label *label, const char *traceparent)
{
    if (traceparent && wire_traceparent_valid(traceparent))
        memcpy(label->trace_id, traceparent + 3, WIRE_TRACE_ID_MAX - 1);
}

struct wire_label wire_label(const struct wire_about *about, const char *traceparent)
{
    struct wire_label label = {.attempt = about->attempt};
    uuid_format(&about->saga_id, label.saga_id);
    snprintf(label.step, sizeof label.step, "%s", about->step);
    snprintf(label.kind, sizeof label.kind, "%s", about->kind);
    set_trace(&label, traceparent);
    return label;
}

/* A header that is a name or a number; anything else is left out. */
static char *get(const struct wire_message *message, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < message->headers_n; i++) {
        const struct wire_header *header = &message->headers[i];
        if (strcmp(header->name, name) != 0 || header->value_len >= size)
            continue;
        for (size_t k = 0; k < header->value_len; k++) {
            if (header->value[k] <= ' ' || header->value[k] > '~')
                return out;
        }
        memcpy(out, header->value, header->value_len);
        out[header->value_len] = '\0';
        return out;
    }
    return out;
}

struct wire_label wire_label_of(const struct wire_message *message)
{
    struct wire_label label = {0};
    struct uuid id;
    char text[WIRE_TRACEPARENT_MAX];
    if (!uuid_parse(get(message, "saga-id", label.saga_id, sizeof label.saga_id), &id))
        label.saga_id[0] = '\0';
    get(message, "saga-step", label.step, sizeof label.step);
    get(message, "saga-kind", label.kind, sizeof label.kind);
    label.attempt = atoi(get(message, "saga-attempt", text, 10));
    set_trace(&label, get(message, "traceparent", text, sizeof text));
    return label;
}
