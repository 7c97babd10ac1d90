#include "http.h"

#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

#define THREADS 2
#define IDLE_TIMEOUT_S 120
#define SEND_MAX_MS 10000 /* for a client that does not read its answer, at the end */

struct http_server {
    struct MHD_Daemon *daemon;
    http_handler *handler;
    void *context;
    atomic_int open; /* requests handed over whose answer is not sent yet */
    int port;
};

enum phase { NEW, READING, HANDED_OVER, ANSWERED };

struct http_request {
    struct http_server *server;
    struct MHD_Connection *connection;
    const char *method;
    char *path;
    struct buf body;
    _Atomic enum phase phase; /* set last: it publishes the answer to the server's thread */
    struct MHD_Response *response;
    unsigned status;
};

/* The only one who is told the path as it was sent; on_completed is called for whatever this returns. */
static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_request *request = mem_alloc(sizeof *request);
    request->server = context;
    request->connection = connection;
    request->path = mem_strndup(uri, strcspn(uri, "?"));
    request->body = buf_new(HTTP_BODY_MAX);
    return request;
}

/* The connection sleeps until the answer is there; it may be there before this returns. */
static enum MHD_Result hand_over(struct http_request *request)
{
    request->phase = HANDED_OVER;
    atomic_fetch_add(&request->server->open, 1);
    MHD_suspend_connection(request->connection);
    request->server->handler(request->server->context, request);
    return MHD_YES;
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                                 const char *version, const char *data, size_t *data_size, void **slot)
{
    (void)context, (void)path, (void)version;
    struct http_request *request = *slot;
    if (request->phase == NEW) {
        request->method = method;
        request->phase = READING;
        return MHD_YES;
    }
    if (request->phase == READING && *data_size) {
        buf_add(&request->body, data, *data_size); /* past the limit it is marked, and the rest is dropped */
        *data_size = 0;
        return MHD_YES;
    }
    if (request->phase == READING)
        return hand_over(request);
    if (request->phase == HANDED_OVER)
        return MHD_YES;
    return MHD_queue_response(connection, request->status, request->response);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    (void)context, (void)connection, (void)code;
    struct http_request *request = *slot;
    if (!request)
        return;
    if (request->phase > READING)
        atomic_fetch_sub(&request->server->open, 1);
    if (request->response)
        MHD_destroy_response(request->response);
    buf_free(&request->body);
    free(request->path);
    free(request);
    *slot = NULL;
}

static void free_body(void *body)
{
    free(body);
}

static void answer(struct http_request *request, int status, const char *content_type, const struct http_header *headers,
                   size_t headers_n)
{
    if (!request->response)
        abort(); /* out of memory */
    MHD_add_response_header(request->response, "Content-Type", content_type);
    MHD_add_response_header(request->response, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < headers_n; i++)
        MHD_add_response_header(request->response, headers[i].name, headers[i].value);
    request->status = (unsigned)status;
    request->phase = ANSWERED;
    MHD_resume_connection(request->connection);
}

void http_answer(struct http_request *request, int status, const char *content_type, struct buf *body,
                 const struct http_header *headers, size_t headers_n)
{
    char *text = body->data ? body->data : mem_strdup("");
    size_t len = body->len;
    *body = buf_new(body->max);
    request->response = MHD_create_response_from_buffer_with_free_callback(len, text, free_body);
    answer(request, status, content_type, headers, headers_n);
}

void http_answer_constant(struct http_request *request, int status, const char *content_type, const void *data, size_t len,
                          const struct http_header *headers, size_t headers_n)
{
    request->response = MHD_create_response_from_buffer(len, (void *)(uintptr_t)data, MHD_RESPMEM_PERSISTENT);
    answer(request, status, content_type, headers, headers_n);
}

static bool resolve(const char *listen, struct sockaddr_storage *address, struct err *err)
{
    char host[256];
    const char *colon = strrchr(listen, ':');
    if (!colon || colon == listen || (size_t)(colon - listen) >= sizeof host)
        return err_set(err, ERR_FATAL, "'%s' is not an address like 127.0.0.1:8080", listen);
    bool bracketed = listen[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - listen) - (bracketed ? 2 : 0), listen + (bracketed ? 1 : 0));
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code)
        return err_set(err, ERR_FATAL, "'%s': %s", listen, gai_strerror(code));
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

static void ignore_log(void *context, const char *format, va_list args)
{
    (void)context, (void)format, (void)args; /* what clients do wrong is answered, not logged */
}

struct http_server *http_start(const char *listen, http_handler *handler, void *context, struct err *err)
{
    struct sockaddr_storage address = {0};
    if (!resolve(listen, &address, err))
        return NULL;
    struct http_server *server = mem_alloc(sizeof *server);
    server->handler = handler;
    server->context = context;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (address.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, server, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, server,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
        MHD_OPTION_END);
    if (!server->daemon) {
        free(server);
        err_set(err, ERR_FATAL, "cannot listen on %s (is another program there?)", listen);
        return NULL;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    server->port = info ? info->port : 0;
    return server;
}

int http_port(const struct http_server *server)
{
    return server->port;
}

void http_quiesce(struct http_server *server)
{
    (void)MHD_quiesce_daemon(server->daemon); /* the socket it returns is closed with the daemon */
}

void http_stop(struct http_server *server)
{
    if (!server)
        return;
    for (int waited_ms = 0; atomic_load(&server->open) && waited_ms < SEND_MAX_MS; waited_ms += 5)
        poll(NULL, 0, 5);
    MHD_stop_daemon(server->daemon);
    free(server);
}

const char *http_method(const struct http_request *request)
{
    return request->method;
}

const char *http_path(const struct http_request *request)
{
    return request->path;
}

const char *http_query(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_body(const struct http_request *request, size_t *len)
{
    *len = request->body.len;
    return buf_text(&request->body);
}

bool http_body_too_large(const struct http_request *request)
{
    return request->body.failed;
}
