/* The HTTP server: the only caller of libmicrohttpd. A request is handed over when its body is complete and answered
 * later, from any thread; no server thread ever waits. */
#ifndef API_HTTP_H
#define API_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define HTTP_BODY_MAX (1024u * 1024)

struct http_server;
struct http_request;

/* Called on a server thread, once for each request; http_answer must be called once for it, now or later. */
typedef void http_handler(void *context, struct http_request *request);

struct http_server *http_start(const char *listen, http_handler *handler, void *context, struct err *err);
int http_port(const struct http_server *server);
/* No new connections. */
void http_quiesce(struct http_server *server);
/* Waits until all requests are answered, then frees. */
void http_stop(struct http_server *server);

const char *http_method(const struct http_request *request);
const char *http_path(const struct http_request *request); /* as it was sent: nothing in it is decoded */
/* NULL when there is none. */
const char *http_query(const struct http_request *request, const char *name);
const char *http_header(const struct http_request *request, const char *name);
const char *http_body(const struct http_request *request, size_t *len);
bool http_body_too_large(const struct http_request *request);

struct http_header {
    const char *name, *value;
};
#define HTTP_HEADERS_MAX 8

/* The answer; the body is taken over (and emptied). The headers are copied. Any thread. The request is gone afterwards. */
void http_answer(struct http_request *request, int status, const char *content_type, struct buf *body,
                 const struct http_header *headers, size_t headers_n);
/* The same with what stays in memory until the program ends. */
void http_answer_constant(struct http_request *request, int status, const char *content_type, const void *data, size_t len,
                          const struct http_header *headers, size_t headers_n);

#endif
