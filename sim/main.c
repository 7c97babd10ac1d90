/* saga-sim: runs the orchestrator, its relay and the workers' SDK, as they are, on a virtual clock against a simulated
 * PostgreSQL, a simulated Kafka and services that misbehave, and checks the invariants. */
#include <inttypes.h>
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/conf.h"
#include "world.h"

#define CHAOS_US 20000000      /* trouble goes on for so long after the last start */
#define PROGRESS_S 30
#define OPERATOR_SHARE 0.7     /* of the runs have one */
#define TRY_ALL 64 /* numbers of sagas, to find the least that fails */
#define REST_US 1800000000LL /* within so long, half an hour, all must be at rest after that */

struct options {
    int64_t seed, seeds, sagas, steps, minutes;
    bool trace, quiet;
};

static const struct conf_option options[] = {
    {"seed", CONF_INT, offsetof(struct options, seed), "1", "N", "the run; the same seed gives the same run", 0, INT64_MAX},
    {"seeds", CONF_INT, offsetof(struct options, seeds), "1", "N", "so many runs, from this seed on", 1, 1000000000},
    {"minutes", CONF_INT, offsetof(struct options, minutes), "0", "N", "runs seed after seed for so long instead", 0, 100000},
    {"sagas", CONF_INT, offsetof(struct options, sagas), "20", "N", "sagas in each run", 1, 1000000},
    {"steps", CONF_INT, offsetof(struct options, steps), "0", "N", "only sequences of so many steps (0: graphs of all sizes)", 0, 50},
    {"trace", CONF_FLAG, offsetof(struct options, trace), NULL, NULL, "prints what happens", 0, 0},
    {"quiet", CONF_FLAG, offsetof(struct options, quiet), NULL, NULL, "prints only what goes wrong", 0, 0},
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_spec spec = {"saga-sim", "Runs sagas in a simulated world where everything fails, and checks that nothing "
                                                  "is lost and nothing happens twice.", NULL, NULL, options};

static bool never(void)
{
    return false;
}

static void run(const struct options *o)
{
    sched_open((uint64_t)o->seed);
    sim_trace_print(o->trace);
    json_object_seed(1);
    plans_make((size_t)o->steps);
    watch_start();
    world_start(weather_of((uint64_t)o->seed));
    client_start((size_t)o->sagas);
    if (sim_chance(OPERATOR_SHARE))
        operator_start();
    sched_run(REST_US, client_done);
    if (world_weather()->trouble_us)
        sched_run(sim_now_us() + CHAOS_US, never);
    else
        sched_run(sim_now_us() + REST_US, checks_at_rest); /* slow services and lost answers are lived through to the end */
    world_calm();
    if (!sched_run(sim_now_us() + REST_US, checks_at_rest))
        sim_fail("invariant 1 is violated: no rest after half an hour: %s", checks_unrest());
    checks_finish((size_t)o->sagas);
    struct tallied tallied = checks_tally();
    if (!o->quiet)
        printf("seed %" PRId64 ", %s, %zu definitions: %zu completed, %zu compensated, %zu stalled in %.1f s; trace %016" PRIx64 "\n",
               o->seed, world_weather()->name, plans_n(), tallied.completed, tallied.compensated, tallied.stalled,
               (double)sim_now_us() / 1e6, sim_trace_sum());
    fflush(stdout);
}

/* Each run has a process of its own: what it leaves behind goes with it, and an abort is only its own. */
static bool run_apart(const struct options *o)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0) {
        run(o);
        _exit(0);
    }
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool fails_with(struct options o, int64_t sagas)
{
    o.sagas = sagas;
    return !run_apart(&o);
}

/* Fewer sagas make a shorter trace. That some number of them fails says little of smaller ones: in the end all are tried. */
static void shrink(struct options o)
{
    char program[4096] = "saga-sim";
    int64_t good = 0, bad = o.sagas;
    if (!freopen("/dev/null", "w", stderr))
        return;
    fflush(stdout);
    o.quiet = true;
    o.trace = false;
    while (bad - good > 1 && bad > TRY_ALL) {
        int64_t middle = good + (bad - good) / 2;
        *(fails_with(o, middle) ? &bad : &good) = middle;
    }
    int64_t least = bad;
    for (int64_t n = 1; bad <= TRY_ALL && n < least; n++)
        least = fails_with(o, n) ? n : least;
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1); /* another build's choices differ */
    program[len > 0 ? len : 8] = '\0';
    printf("again: %s --seed %" PRId64 " --sagas %" PRId64 " --steps %" PRId64 " --trace\n", program, o.seed, least, o.steps);
}

/* Of the real clock, which is not wrapped in this form. */
static bool goes_on(const struct options *o, int64_t done, time_t begun)
{
    return o->minutes ? time(NULL) - begun < o->minutes * 60 : done < o->seeds;
}

static void say_progress(const struct options *o, int64_t done, time_t *said)
{
    if (!o->minutes || time(NULL) - *said < PROGRESS_S)
        return;
    *said = time(NULL);
    printf("%" PRId64 " seeds of %" PRId64 " sagas so far\n", done, o->sagas);
}

static bool run_seeds(struct options o)
{
    time_t begun = time(NULL), said = begun;
    int64_t done = 0;
    for (; goes_on(&o, done, begun); done++, o.seed++) {
        if (!run_apart(&o)) {
            printf("seed %" PRId64 " failed\n", o.seed);
            shrink(o);
            return false;
        }
        say_progress(&o, done + 1, &said);
    }
    if (done > 1)
        printf("%" PRId64 " seeds of %" PRId64 " sagas: every invariant holds\n", done, o.sagas);
    return true;
}

/* A run keeps much and is over soon: memory is not given back to the kernel in between. */
static void keep_memory(void)
{
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 16 << 20);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct conf_result result;
    struct err err;
    keep_memory();
    if (!conf_parse(&spec, argc, argv, &o, &result, &err)) {
        fprintf(stderr, "saga-sim: %s\n", err.text);
        return 2;
    }
    if (result.help) {
        conf_help(&spec);
        return 0;
    }
    return run_seeds(o) ? 0 : 1;
}
