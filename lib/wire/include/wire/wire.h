/* What travels over Kafka: header names, and commands and replies to and from messages. Shared by the engine, the
 * participants' SDK, the sidecar and the tests; docs/protocol.md says the same for people. Any thread. */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

#define WIRE_PROTOCOL "1"
#define WIRE_NAME_MAX 64
#define WIRE_HEADERS_MAX 32
#define WIRE_HEADERS_TEXT_MAX (256u * 1024) /* more than all headers of a command or reply can have (wire_headers_text) */

struct wire_header {
    const char *name;
    const char *value;
    size_t value_len;
};

/* A message as it comes from the broker; everything is borrowed. */
struct wire_message {
    const char *topic;
    const char *key;
    size_t key_len;
    const char *value; /* NULL: none */
    size_t value_len;
    struct wire_header headers[WIRE_HEADERS_MAX];
    size_t headers_n;
};

/* NULL when the message has no such header or it holds a NUL character. Valid while the arena is. */
const char *wire_header(struct arena *arena, const struct wire_message *message, const char *name);

/* The names of the topics, all under one prefix ("saga"). */
#define WIRE_TOPIC_MAX 200
char *wire_command_topic(const char *prefix, const char *service, char out[WIRE_TOPIC_MAX]);
char *wire_topic(const char *prefix, const char *what, char out[WIRE_TOPIC_MAX]); /* "reply", "dead", "event" */

/* Identifies what a command or reply is about. */
struct wire_about {
    const char *namespace_;
    struct uuid saga_id;
    const char *step;
    const char *kind; /* "action", "compensation", "probe" */
    int round;
    int attempt;
};

struct wire_command {
    struct uuid id;
    struct wire_about about;
    const char *action;      /* the handler's name; of a probe, that of the action it asks about */
    int64_t deadline_ms;     /* 0: none */
    const char *source;      /* who sent it, ce_source */
    const char *traceparent; /* passed through in replies; NULL: none */
    const char *clock;       /* a vector clock that names the saga's entities (base/vclock.h), JSON; NULL: it has none */
    const char *value;       /* the input, JSON */
    size_t value_len;
};

struct wire_reply {
    struct wire_about about;
    const char *outcome; /* "succeeded", "failed"; "retry", "accepted"; to a probe "in_progress", "not_seen" */
    const char *output;  /* JSON text, for "succeeded"; NULL: null */
    size_t output_len;
    const char *error;   /* JSON object {"code", "message"}, for "failed" and "retry"; NULL: none */
    int64_t retry_after_ms;
    const char *traceparent;
    const char *clock; /* what the effect has counted up, JSON; NULL: nothing */
};

/* The message for a command or reply: key and headers, for a command the value too. The topic is left to the caller. What
 * it points to lives in the arena or in the command or reply. */
void wire_command_message(struct arena *arena, const struct wire_command *command, int64_t now_ms,
                          struct wire_message *out);
void wire_reply_message(struct arena *arena, const struct wire_reply *reply, const struct uuid *id, const char *source,
                        int64_t now_ms, struct wire_message *out);
/* The headers of such a message as the JSON object of strings that an outbox keeps. */
void wire_headers_text(struct buf *out, const struct wire_message *message);
/* The value of a reply: {"outcome": ..., "output": ..., "error": ..., "retry_after": ...}. */
void wire_reply_value(struct buf *out, const struct wire_reply *reply);

/* Read a message back. ERR_REFUSED with the reason when it is not one; such a message belongs in the dead-letter topic.
 * Everything in the result lives in the arena or in the message. The value of a command is checked to be JSON. */
MUST_CHECK bool wire_command_read(struct arena *arena, const struct wire_message *message, struct wire_command *command,
                                  struct err *err);
MUST_CHECK bool wire_reply_read(struct arena *arena, const struct wire_message *message, struct wire_reply *reply,
                                struct err *err);

/* A message that cannot be used, in the form that an outbox keeps: always valid text and never too large. Its value is cut
 * and, when it is not UTF-8, in base64; its headers stay, with the reason and where it was (`partition` -1: it never came from Kafka). In the arena. */
struct wire_dead_letter {
    const char *key; /* NULL: none */
    const char *headers;
    const char *value;
    size_t value_len;
};
void wire_dead_letter(struct arena *arena, const struct wire_message *message, const char *reason, int partition,
                      int64_t offset, struct wire_dead_letter *out);

/* W3C trace context, version 00. A saga's trace is that of its `parent`, the traceparent with which it was started, or has
 * its id when there is none (NULL); a span has its command's id. */
#define WIRE_TRACEPARENT_MAX 56
#define WIRE_TRACE_ID_MAX 33
bool wire_traceparent_valid(const char *text);
char *wire_traceparent(const char *parent, const struct uuid *saga_id, const struct uuid *command_id,
                       char out[WIRE_TRACEPARENT_MAX]);
char *wire_trace_id(const char *parent, const struct uuid *saga_id, char out[WIRE_TRACE_ID_MAX]);

#endif
