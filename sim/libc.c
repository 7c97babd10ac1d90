/* What the linker puts in the place of the system's calls (--wrap), and of the few parts of base that are bound to the real
 * machine: descriptors and the log. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/wake.h"
#include "simulation.h"

#define EPOCH_S 1767225600 /* 2026-01-01: where the virtual clock begins */
#define LOCK_PAUSE_US 20
#define POLLS_MAX 4

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);
int __wrap_close(int fd);
pid_t __wrap_getpid(void);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    (void)attributes;
    *thread = (pthread_t)sim_spawn(sim_process(), run, argument);
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    (void)result;
    while (!sim_task_done((const struct task *)thread))
        sim_sleep(1000);
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    while (pthread_mutex_trylock(lock) != 0)
        sim_sleep(sim_spread(LOCK_PAUSE_US));
    return 0;
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    while (pthread_rwlock_tryrdlock(lock) != 0)
        sim_sleep(sim_spread(LOCK_PAUSE_US));
    return 0;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    while (pthread_rwlock_trywrlock(lock) != 0)
        sim_sleep(sim_spread(LOCK_PAUSE_US));
    return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int64_t until_us = timeout_ms < 0 ? INT64_MAX : sim_now_us() + (int64_t)timeout_ms * 1000;
    int bells[POLLS_MAX];
    for (;;) {
        int ready = 0;
        for (nfds_t i = 0; i < n && i < POLLS_MAX; i++) {
            bells[i] = fds[i].fd;
            fds[i].revents = sim_bell_rung(fds[i].fd) ? POLLIN : 0;
            ready += fds[i].revents != 0;
        }
        if (ready || sim_now_us() >= until_us)
            return ready;
        sim_wait(bells, n, until_us == INT64_MAX ? -1 : until_us - sim_now_us());
    }
}

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    const struct process *process = sim_process();
    int64_t us = sim_now_us();
    if (id == CLOCK_REALTIME)
        us += process ? process->skew_us : 0;
    *now = (struct timespec){.tv_sec = EPOCH_S + us / 1000000, .tv_nsec = us % 1000000 * 1000};
    return 0;
}

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < len; i++)
        ((unsigned char *)out)[i] = (unsigned char)sim_random();
    return (ssize_t)len;
}

int __wrap_close(int fd)
{
    (void)fd; /* bells are not used again */
    return 0;
}

pid_t __wrap_getpid(void)
{
    return 1;
}

/* ---- base/wake.h ---- */

int wake_new(void)
{
    return sim_bell_new();
}

void wake_ring(int fd)
{
    sim_bell_ring(fd);
}

void wake_clear(int fd)
{
    sim_bell_clear(fd);
}

void wake_wait(int fd, int timeout_ms)
{
    struct pollfd bell = {.fd = fd, .events = POLLIN};
    if (__wrap_poll(&bell, 1, timeout_ms) > 0)
        sim_bell_clear(fd);
}

/* ---- base/log.h: lines of the trace ---- */

bool log_enabled(enum log_level level)
{
    return level >= LOG_INFO;
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    char text[512] = "";
    size_t len = 0;
    if (!log_enabled(level))
        return;
    for (size_t i = 0; i < n && len < sizeof text - 1; i++) {
        const struct log_field *field = &fields[i];
        int added = 0;
        if (field->type != LOG_FIELD_STR)
            added = snprintf(text + len, sizeof text - len, " %s=%lld", field->name, (long long)field->num);
        else if (field->str)
            added = snprintf(text + len, sizeof text - len, " %s=%s", field->name, field->str);
        len += (size_t)added;
    }
    sim_trace("log: %s%s", event, text);
}

void log_init(const char *program, enum log_level level, bool json)
{
    (void)program, (void)level, (void)json;
}

bool log_level_parse(const char *word, enum log_level *level)
{
    (void)word;
    *level = LOG_INFO;
    return true;
}
