#include "call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

#define PROBLEM_MAX (64u * 1024)

static void count(const struct call *call, int status)
{
    traffic_count(call->api->traffic, call->requested, status, clock_mono_ms() - call->begun_ms);
}

static void finish(struct call *call, int status, const char *type, struct buf *body, const char *header,
                   const char *value)
{
    struct http_header headers[] = {{"Cache-Control", "no-store"}, {header, value}};
    count(call, status);
    http_answer(call->request, status, type, body, headers, value ? 2 : 1);
    arena_free(&call->arena);
    free(call);
}

void call_json(struct call *call, int status, struct buf *body, const char *location)
{
    if (body->failed) {
        buf_free(body);
        call_problem(call, 500, "answer-too-large", "The answer is too large", "ask for less at once", NULL);
        return;
    }
    buf_char(body, '\n');
    finish(call, status, "application/json", body, "Location", location);
}

void call_file(struct call *call, const char *content_type, const void *data, size_t len, const char *etag,
               const struct http_header *headers, size_t headers_n)
{
    const char *known = http_header(call->request, "If-None-Match");
    bool same = known && strcmp(known, etag) == 0;
    struct http_header all[HTTP_HEADERS_MAX] = {{"ETag", etag}};
    memcpy(all + 1, headers, headers_n * sizeof *headers);
    count(call, same ? 304 : 200);
    http_answer_constant(call->request, same ? 304 : 200, content_type, data, same ? 0 : len, all, headers_n + 1);
    arena_free(&call->arena);
    free(call);
}

void call_text(struct call *call, int status, const char *content_type, struct buf *body)
{
    finish(call, status, content_type, body, NULL, NULL);
}

static void add_problems(struct buf *body, const struct problems *problems)
{
    buf_str(body, ",\"errors\":[");
    for (size_t i = 0; i < problems->n && i < PROBLEMS_MAX; i++) {
        buf_str(body, i ? ",{\"pointer\":" : "{\"pointer\":");
        buf_json_str(body, problems->items[i].pointer);
        buf_str(body, ",\"detail\":");
        buf_json_str(body, problems->items[i].detail);
        buf_char(body, '}');
    }
    buf_char(body, ']');
}

void call_problem(struct call *call, int status, const char *kind, const char *title, const char *detail,
                  const struct problems *problems)
{
    struct buf body = buf_new(PROBLEM_MAX);
    buf_printf(&body, "{\"type\":\"urn:saga:problem:%s\",\"status\":%d,\"title\":", kind, status);
    buf_json_str(&body, title);
    buf_str(&body, ",\"detail\":");
    buf_json_str(&body, detail);
    if (problems && problems->n)
        add_problems(&body, problems);
    buf_str(&body, "}\n");
    const char *header = status == 503 || status == 429 ? "Retry-After" : NULL;
    finish(call, status, "application/problem+json", &body, header, header ? "1" : NULL);
}

void call_not_found(struct call *call, const char *what)
{
    call_problem(call, 404, "not-found", "Not found", what, NULL);
}

void call_database_problem(struct call *call, const struct err *err)
{
    if (err->kind == ERR_RETRY)
        call_problem(call, 503, "unavailable", "The database is not available", "try again later", NULL);
    else
        call_problem(call, 500, "internal", "The database refused", err->text, NULL);
}

bool call_try_later(struct call *call, const struct route *route)
{
    call->route = route;
    return queue_push(call->api->calls, call);
}

void call_later(struct call *call, const struct route *route)
{
    if (!call_try_later(call, route))
        call_problem(call, 503, "overloaded", "Too many requests are waiting", "try again later", NULL);
}

static bool is_json_type(const char *type)
{
    size_t len = strcspn(type, "; ");
    return (len == 16 && strncasecmp(type, "application/json", len) == 0) ||
           (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0);
}

/* Browsers say where a page that posts comes from; other programs say nothing. */
bool call_same_site(struct call *call)
{
    const char *origin = http_header(call->request, "Origin"), *host = http_header(call->request, "Host");
    const char *name = origin ? strstr(origin, "://") : NULL;
    if (!origin || (name && host && strcmp(name + 3, host) == 0))
        return true;
    call_problem(call, 403, "cross-site", "The request comes from another site", "pages of other sites may not change anything here", NULL);
    return false;
}

json_t *call_body(struct call *call)
{
    size_t len;
    const char *text = http_body(call->request, &len);
    const char *type = http_header(call->request, "Content-Type");
    struct problems problems = {0};
    struct err err;
    if (http_body_too_large(call->request)) {
        char detail[80];
        snprintf(detail, sizeof detail, "a body may have %u bytes", HTTP_BODY_MAX);
        call_problem(call, 413, "body-too-large", "The body is too large", detail, NULL);
        return NULL;
    }
    if (type && !is_json_type(type)) {
        call_problem(call, 415, "not-json", "The body's type is not JSON", "send Content-Type: application/json", NULL);
        return NULL;
    }
    json_t *body = json_read(text, len, &err);
    if (!body) {
        problem_add(&problems, "", "%s", err.text);
        call_problem(call, 400, "malformed-json", "The body is not well-formed JSON", err.text, &problems);
        return NULL;
    }
    if (json_is_object(body))
        return body;
    json_decref(body);
    problem_add(&problems, "", "expected an object");
    call_problem(call, 422, "invalid-body", "The body does not say what it must", "expected a JSON object", &problems);
    return NULL;
}

bool call_bad_parameter(struct call *call, const char *name, const char *expected)
{
    char detail[200];
    snprintf(detail, sizeof detail, "query parameter '%s': %s", name, expected);
    call_problem(call, 400, "invalid-parameter", "A query parameter is wrong", detail, NULL);
    return false;
}

bool call_query_int(struct call *call, const char *name, int64_t min, int64_t max, int64_t *value)
{
    const char *text = http_query(call->request, name);
    char expected[100], *end;
    if (!text)
        return true;
    long long number = strtoll(text, &end, 10);
    if (*text && !*end && number >= min && number <= max) {
        *value = number;
        return true;
    }
    snprintf(expected, sizeof expected, "expected a whole number from %" PRId64 " to %" PRId64, min, max);
    return call_bad_parameter(call, name, expected);
}

bool call_query_time(struct call *call, const char *name, int64_t *ms)
{
    const char *text = http_query(call->request, name);
    if (!text || (clock_parse(text, ms) && *ms > 0))
        return true;
    return call_bad_parameter(call, name, "expected a time like 2026-01-31T10:00:00Z");
}

bool call_query_duration(struct call *call, const char *name, int64_t max_ms, int64_t *ms)
{
    const char *text = http_query(call->request, name);
    char expected[100];
    if (!text)
        return true;
    if (duration_parse(text, ms) && *ms <= max_ms)
        return true;
    snprintf(expected, sizeof expected, "expected a duration like 500ms or 30s, at most %" PRId64 "s", max_ms / 1000);
    return call_bad_parameter(call, name, expected);
}

bool label_is_name(const char *text)
{
    size_t len = strlen(text);
    return len && len < 64 && text[0] >= 'a' && text[0] <= 'z' && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == len;
}

bool label_is_value(const char *text)
{
    return text && *text && strlen(text) <= 100 && !strchr(text, ',');
}

void buf_time_member(struct buf *out, const char *name, int64_t ms)
{
    char text[CLOCK_TEXT_MAX];
    if (ms)
        buf_printf(out, ",\"%s\":\"%s\"", name, clock_format(ms, text));
    else
        buf_printf(out, ",\"%s\":null", name);
}
