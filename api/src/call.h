/* What the routes share: one call of the API, its answers, its problems. */
#ifndef API_CALL_H
#define API_CALL_H

#include <stdatomic.h>

#include "api/api.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/problem.h"
#include "base/queue.h"
#include "http.h"
#include "store/store.h"
#include "traffic.h"

#define WAIT_MAX_MS (10 * 60 * 1000) /* how long a saga may be waited for in one request */

struct overview_cache;

struct api {
    struct api_config config;
    struct http_server *http;
    _Atomic(struct engine *) engine;
    struct traffic *traffic;
    struct overview_cache *overview;
    struct queue *calls; /* for the readers */
    pthread_t *readers;
    int readers_n;
};

/* What a reader's thread has. */
struct reader {
    struct pg *pg;
    struct catalog *catalog;
};

struct call {
    struct api *api;
    struct http_request *request;
    const struct route *route;     /* what runs now */
    const struct route *requested; /* NULL: nothing is at that path */
    int64_t begun_ms;
    char parameter[256], second[80]; /* what stands in the path for {}, and for the next one */
    struct arena arena;
    struct reader *reader; /* NULL on a server thread */
    struct uuid saga_id;   /* of a saga that was waited for */
    int status;            /* with which it will be shown */
    bool started;          /* by this very call, so that the saga is there whatever else fails */
};

struct route {
    const char *method;
    const char *pattern; /* "/v1/sagas/{}/history" */
    bool reads;          /* runs on a reader's thread */
    void (*run)(struct call *call);
};

/* Each answers the call and frees it. */
void call_json(struct call *call, int status, struct buf *body, const char *location);
/* What the program holds for good; 304 when the client has it already. */
void call_file(struct call *call, const char *content_type, const void *data, size_t len, const char *etag,
               const struct http_header *headers, size_t headers_n);
void call_text(struct call *call, int status, const char *content_type, struct buf *body);
/* RFC 9457. `kind` names the problem's type ("invalid-body"); problems (may be NULL) are its places. */
void call_problem(struct call *call, int status, const char *kind, const char *title, const char *detail,
                  const struct problems *problems);
void call_not_found(struct call *call, const char *what);
/* The database failed: 503 when it may work later, 500 otherwise. */
void call_database_problem(struct call *call, const struct err *err);
/* False when too many calls wait already; the call then stays the caller's. */
MUST_CHECK bool call_try_later(struct call *call, const struct route *route);
/* Runs the route on a reader's thread, or answers that too many wait. */
void call_later(struct call *call, const struct route *route);

/* False after having refused a request that a page of another site made its visitor's browser send. */
bool call_same_site(struct call *call);
/* The body as a JSON object, or NULL after having answered. The caller drops the reference. */
json_t *call_body(struct call *call);
/* Refuses a query parameter; false. */
bool call_bad_parameter(struct call *call, const char *name, const char *expected);
/* A query parameter as a number, time or duration within bounds; false after having answered. Absent: the preset. */
bool call_query_int(struct call *call, const char *name, int64_t min, int64_t max, int64_t *value);
bool call_query_time(struct call *call, const char *name, int64_t *ms);
bool call_query_duration(struct call *call, const char *name, int64_t max_ms, int64_t *ms);

void buf_time_member(struct buf *out, const char *name, int64_t ms); /* ,"name":"..." or ,"name":null */

/* A saga's labels: names and values that stand in an address as they are. */
#define LABEL_EXPECTED "a label's name is a-z, then a-z 0-9 _ . -, at most 63 characters; its value a text of 1 to 100 bytes without comma"
bool label_is_name(const char *text);
bool label_is_value(const char *text); /* NULL: no */

/* The routes, by resource. */
void definitions_put(struct call *call);
void definitions_list(struct call *call);
void definitions_get(struct call *call);
void definitions_verify(struct call *call);
void sagas_start(struct call *call);
void sagas_list(struct call *call);
void sagas_get(struct call *call);
void sagas_wait(struct call *call);
void sagas_history(struct call *call);
void acts_cancel(struct call *call);
void acts_pause(struct call *call);
void acts_resume(struct call *call);
void acts_signal(struct call *call);
void acts_retry(struct call *call);
void acts_resolve(struct call *call);
void acts_skip(struct call *call);
/* The saga's id from the path; false after having answered. */
bool sagas_read_id(struct call *call);
/* Answers with the saga of call->saga_id as it is, and with call->status. */
void sagas_show_later(struct call *call);
/* The same, unless too many calls wait: false, and the call stays the caller's. */
MUST_CHECK bool sagas_try_show_later(struct call *call);
/* Answers with a saga that the engine has in hand, as the database would show it. */
void sagas_show(struct call *call, const struct saga *saga);
/* The short answer to a start: accepted and safe. */
void sagas_answer_accepted(struct call *call);
/* False after having answered that the path has no key of an entity. */
bool entities_read_key(struct call *call);
void entities_get(struct call *call);
void entities_conflicts(struct call *call);
void overview_get(struct call *call);
struct overview_cache *overview_cache_new(void);
void overview_cache_free(struct overview_cache *cache);
void services_list(struct call *call);
void dashboard_page(struct call *call);
void dashboard_asset(struct call *call);
void health_live(struct call *call);
void health_ready(struct call *call);
void health_metrics(struct call *call);

#endif
