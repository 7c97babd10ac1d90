#include "base/fault.h"

#ifdef SAGA_FAULT_POINTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POINTS_MAX 8

struct point {
    char name[64];
    bool kill;
    long sleep_ms;
    long at;
    atomic_long passed;
};

static struct point points[POINTS_MAX];
static size_t points_n;

static void read_point(const char *spec)
{
    struct point *point = &points[points_n];
    char action[64] = "";
    point->at = 1;
    if (sscanf(spec, "%63[^=]=%63[^@]@%ld", point->name, action, &point->at) < 2)
        return;
    point->kill = strcmp(action, "kill") == 0;
    if (!point->kill && sscanf(action, "sleep:%ld", &point->sleep_ms) != 1)
        return;
    points_n++;
}

static void read_points(void)
{
    const char *env = getenv("SAGA_FAULT");
    char *copy = env ? strdup(env) : NULL;
    char *rest = copy;
    for (char *spec; rest && points_n < POINTS_MAX && (spec = strsep(&rest, ";"));)
        read_point(spec);
    free(copy);
}

void fault_point(const char *name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_points);
    for (size_t i = 0; i < points_n; i++) {
        struct point *point = &points[i];
        if (strcmp(point->name, name) != 0 || atomic_fetch_add(&point->passed, 1) + 1 != point->at)
            continue;
        if (point->kill)
            raise(SIGKILL);
        struct timespec pause = {.tv_sec = point->sleep_ms / 1000, .tv_nsec = point->sleep_ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
}

#else
typedef int fault_points_are_compiled_out;
#endif
