#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define ANSWER_MAX (64 * 1024)
#define DRAIN_MS 60000
#define THIRDS 3

enum client_state { FREE, STARTING, FOLLOWING, PAUSED };

struct client {
    enum client_state state;
    int fd;
    int64_t due_us; /* when the start was due; PAUSED: when to go on */
    struct buf out;
    size_t sent;
    char *in;
    size_t in_len;
};

struct load {
    const struct load_plan *plan;
    struct load_result *result;
    struct client *clients;
    int *free; /* indices of clients in the state FREE */
    int free_n;
    int epoll, timer;
    int64_t from_us, window_us, window_end_us; /* of this run */
    uint64_t in_third[THIRDS];
    uint64_t open, shown_ended;
    bool in_window, window_over;
    double cpu_from;
    struct buf body;
};

static bool fail(struct load *load, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!load->result->failure[0])
        text_format(load->result->failure, sizeof load->result->failure, format, args);
    va_end(args);
    return false;
}

/* ---- connections ---- */

static bool connect_client(struct load *load, int index)
{
    struct client *client = &load->clients[index];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->plan->port)};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0)
        return fail(load, "cannot connect: %s", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event) != 0)
        return fail(load, "epoll: %s", strerror(errno));
    return true;
}

static bool send_request(struct load *load, struct client *client)
{
    client->in_len = 0;
    while (client->sent < client->out.len) { /* a request fits into an empty socket buffer */
        ssize_t n = send(client->fd, client->out.data + client->sent, client->out.len - client->sent, MSG_NOSIGNAL);
        if (n < 0)
            return fail(load, "cannot send: %s", strerror(errno));
        client->sent += (size_t)n;
    }
    return true;
}

static bool start_saga(struct load *load, struct client *client, int64_t due_us)
{
    const struct load_plan *plan = load->plan;
    buf_reset(&load->body);
    plan->write_body(&load->body, load->result->started);
    buf_reset(&client->out);
    client->sent = 0;
    buf_printf(&client->out,
               "POST /v1/sagas%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
               plan->kind == LOAD_WAIT ? "?wait=60s" : "", load->body.len);
    buf_add(&client->out, load->body.data, load->body.len);
    client->state = STARTING;
    client->due_us = due_us;
    load->result->started++;
    load->open++;
    return send_request(load, client);
}

static bool follow_saga(struct load *load, struct client *client, const char *body)
{
    const char *id = strstr(body, "\"id\":\"");
    if (!id)
        return fail(load, "an answer without an id: %.200s", body);
    buf_reset(&client->out);
    client->sent = 0;
    buf_printf(&client->out, "GET /v1/sagas/%.36s?wait=60s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id + 6);
    client->state = FOLLOWING;
    return send_request(load, client);
}

static void set_free(struct load *load, struct client *client)
{
    client->state = FREE;
    load->open--;
    load->free[load->free_n++] = (int)(client - load->clients);
}

/* ---- answers ---- */

static void count_end(struct load *load, struct client *client, int64_t now_us)
{
    load->result->ended++;
    if (!load->in_window)
        return;
    int64_t third = (now_us - load->window_us) * THIRDS / (load->plan->duration_ms * 1000);
    load->in_third[third < THIRDS ? third : THIRDS - 1]++;
    if (load->plan->kind != LOAD_START)
        samples_add(&load->result->e2e, now_us - client->due_us);
}

static bool ended(struct load *load, struct client *client, const char *body, int64_t now_us)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"state\":\"%s\"", load->plan->end_state);
    if (!strstr(body, wanted))
        return fail(load, "a saga that is not %s: %.250s", load->plan->end_state, body);
    count_end(load, client, now_us);
    set_free(load, client);
    return true;
}

static bool refused(struct load *load, struct client *client, const char *head, int64_t now_us)
{
    const char *after = strcasestr(head, "\r\nretry-after:");
    if (!after)
        return fail(load, "429 without Retry-After");
    load->result->refused++;
    load->result->started--;
    load->open--;
    client->state = PAUSED;
    client->due_us = now_us + strtol(after + 14, NULL, 10) * 1000000;
    return true;
}

static bool answered(struct load *load, struct client *client, const char *head, const char *body)
{
    int64_t now_us = clock_mono_us();
    long status = strtol(head + 9, NULL, 10);
    if (status == 429 && load->plan->kind == LOAD_START)
        return refused(load, client, head, now_us);
    if (status != 200 && status != 201)
        return fail(load, "answer %ld: %.250s", status, body);
    if (client->state == STARTING && load->in_window && load->plan->kind != LOAD_WAIT)
        samples_add(&load->result->start, now_us - client->due_us);
    if (load->plan->kind == LOAD_FOLLOW && client->state == STARTING)
        return follow_saga(load, client, body);
    if (load->plan->kind != LOAD_START)
        return ended(load, client, body, now_us);
    count_end(load, client, now_us);
    set_free(load, client);
    return true;
}

/* Reads what has come; an answer is whole when its Content-Length is there. */
static bool read_client(struct load *load, struct client *client)
{
    ssize_t n = recv(client->fd, client->in + client->in_len, ANSWER_MAX - client->in_len, 0);
    if (n <= 0)
        return fail(load, "the connection was closed: %s", n ? strerror(errno) : "by the server");
    client->in_len += (size_t)n;
    client->in[client->in_len] = '\0';
    char *end = strstr(client->in, "\r\n\r\n");
    const char *length = end ? strcasestr(client->in, "\r\ncontent-length:") : NULL;
    if (end && !length)
        return fail(load, "an answer without Content-Length");
    if (!end || client->in_len < (size_t)(end + 4 - client->in) + strtoul(length + 17, NULL, 10))
        return client->in_len < ANSWER_MAX || fail(load, "an answer that is too large");
    *end = '\0';
    return answered(load, client, client->in, end + 4);
}

/* ---- the course of a run ---- */

static double thread_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void move_window(struct load *load, int64_t now_us)
{
    const struct load_plan *plan = load->plan;
    if (!load->in_window && !load->window_over && now_us >= load->window_us) {
        load->in_window = true;
        load->window_us = now_us;
        load->window_end_us = now_us + plan->duration_ms * 1000;
        load->cpu_from = thread_cpu_s();
        if (plan->on_window)
            plan->on_window(plan->context, true);
    }
    if (!load->in_window || (now_us < load->window_end_us && !(plan->count && load->result->ended >= plan->count)))
        return;
    load->in_window = false;
    load->window_over = true;
    load->window_end_us = now_us;
    load->result->busy = (thread_cpu_s() - load->cpu_from) * 1e6 / (double)(now_us - load->window_us);
    if (plan->on_window)
        plan->on_window(plan->context, false);
}

static bool may_start(const struct load *load)
{
    return !load->window_over && load->free_n && (!load->plan->count || load->result->started < load->plan->count);
}

/* Open loop: the n-th start is due n/rate seconds after the beginning, whether or not a client is free by then. */
static int64_t next_due_us(const struct load *load)
{
    if (load->plan->rate <= 0)
        return 0;
    return load->from_us + (int64_t)((double)load->result->started * 1e6 / load->plan->rate);
}

static bool start_due(struct load *load, int64_t now_us)
{
    while (may_start(load)) {
        int64_t due_us = next_due_us(load);
        if (due_us > now_us)
            break;
        struct client *client = &load->clients[load->free[--load->free_n]];
        if (!start_saga(load, client, due_us ? due_us : clock_mono_us()))
            return false;
    }
    return true;
}

static void free_paused(struct load *load, int64_t now_us)
{
    for (int i = 0; i < load->plan->clients; i++) {
        struct client *client = &load->clients[i];
        if (client->state == PAUSED && now_us >= client->due_us) {
            client->state = FREE;
            load->free[load->free_n++] = i;
        }
    }
}

static void arm_timer(struct load *load, int64_t now_us)
{
    int64_t wait_us = 10000;
    if (load->plan->rate > 0 && may_start(load) && next_due_us(load) - now_us < wait_us)
        wait_us = next_due_us(load) - now_us;
    if (wait_us < 1)
        wait_us = 1;
    struct itimerspec spec = {.it_value = {wait_us / 1000000, wait_us % 1000000 * 1000}};
    timerfd_settime(load->timer, 0, &spec, NULL);
}

/* Each second over the same line of a terminal; into a file every tenth second a line. */
static void show_progress(struct load *load, int64_t now_us, int64_t *shown_us)
{
    bool terminal = isatty(STDERR_FILENO);
    double seconds = (double)(now_us - *shown_us) / 1e6;
    if (seconds < (terminal ? 1 : 10))
        return;
    fprintf(stderr, "%s  %-28s %3.0f s  %7.0f a second  %6" PRIu64 " under way%s", terminal ? "\r" : "", load->plan->name,
            (double)(now_us - load->from_us) / 1e6, (double)(load->result->ended - load->shown_ended) / seconds, load->open,
            terminal ? " " : "\n");
    load->shown_ended = load->result->ended;
    *shown_us = now_us;
}

static bool serve(struct load *load)
{
    struct epoll_event events[256];
    int n = epoll_wait(load->epoll, events, 256, 1000);
    if (n < 0 && errno != EINTR)
        return fail(load, "epoll: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        uint64_t ticks;
        if (events[i].data.u32 != UINT32_MAX) {
            if (!read_client(load, &load->clients[events[i].data.u32]))
                return false;
        } else if (read(load->timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) {
            return fail(load, "timer: %s", strerror(errno));
        }
    }
    return true;
}

static bool course(struct load *load)
{
    int64_t shown_us = load->from_us, drain_us = 0;
    for (;;) {
        int64_t now_us = clock_mono_us();
        move_window(load, now_us);
        free_paused(load, now_us);
        if (!start_due(load, now_us))
            return false;
        if (load->window_over && !load->open)
            return true;
        if (load->window_over && !drain_us)
            drain_us = now_us;
        if (drain_us && now_us > drain_us + DRAIN_MS * 1000LL)
            return fail(load, "%" PRIu64 " answers did not come", load->open);
        arm_timer(load, now_us);
        if (!serve(load))
            return false;
        show_progress(load, now_us, &shown_us);
    }
}

static bool open_load(struct load *load)
{
    int clients = load->plan->clients;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    load->clients = mem_array((size_t)clients, sizeof *load->clients);
    load->free = mem_array((size_t)clients, sizeof *load->free);
    load->body = buf_new(ANSWER_MAX);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->timer, &event);
    for (int i = 0; i < clients; i++) {
        load->clients[i] = (struct client){.fd = -1, .in = mem_alloc(ANSWER_MAX + 1), .out = buf_new(ANSWER_MAX)};
        load->free[load->free_n++] = i;
    }
    for (int i = 0; i < clients; i++) {
        if (!connect_client(load, i))
            return false;
    }
    load->from_us = clock_mono_us();
    load->window_us = load->from_us + load->plan->warm_up_ms * 1000;
    return true;
}

static void close_load(struct load *load)
{
    for (int i = 0; i < load->plan->clients; i++) {
        if (load->clients[i].fd >= 0)
            close(load->clients[i].fd);
        buf_free(&load->clients[i].out);
        free(load->clients[i].in);
    }
    free(load->clients);
    free(load->free);
    buf_free(&load->body);
    close(load->timer);
    close(load->epoll);
}

bool load_run(const struct load_plan *plan, struct load_result *result)
{
    struct load load = {.plan = plan, .result = result};
    *result = (struct load_result){0};
    bool ok = open_load(&load) && course(&load);
    double seconds = (double)(load.window_end_us - load.window_us) / 1e6, third = (double)plan->duration_ms / 3000;
    if (ok) {
        result->per_s = (double)(load.in_third[0] + load.in_third[1] + load.in_third[2]) / seconds;
        result->first_third_per_s = (double)load.in_third[0] / third;
        result->last_third_per_s = (double)load.in_third[2] / third;
    }
    fprintf(stderr, "%s  %-28s %-50s\n", isatty(STDERR_FILENO) ? "\r" : "", plan->name, ok ? "done" : "failed");
    close_load(&load);
    return ok;
}
