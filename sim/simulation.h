/* The simulated machine: processes whose threads are coroutines on one virtual clock. Everything that happens follows from
 * the seed: the same seed gives the same run, step by step. Real code runs in it unchanged, because the few calls by which it
 * reaches the system (threads, locks, poll, clocks, random bytes) are wrapped when the simulator is linked (libc.c). */
#ifndef SIM_SIMULATION_H
#define SIM_SIMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A process and, over its restarts, its lives. The owner fills in the name. */
struct process {
    const char *name;
    int life;                /* counts its starts */
    bool alive;
    bool asked_to_end;       /* it got SIGTERM */
    int64_t skew_us;         /* its wall clock is ahead by so much */
    int64_t frozen_until_us;
};

/* Once, before anything else. */
void sched_open(uint64_t seed);

uint64_t sim_random(void);
/* From 0 up to n - 1; 0 for n = 0. */
uint64_t sim_below(uint64_t n);
bool sim_chance(double p);
/* Microseconds, about exponential around `mean`: short mostly, now and then long. */
int64_t sim_spread(int64_t mean_us);

/* Microseconds since the beginning of the run. */
int64_t sim_now_us(void);
/* The process whose code runs now; NULL for the world outside. */
struct process *sim_process(void);
/* Lets time pass for the caller, a thread of a process or of the world. It may be killed meanwhile, and then never returns. */
void sim_sleep(int64_t us);
/* A thread of the process; NULL: of the world. */
struct task;
struct task *sim_spawn(struct process *process, void *(*run)(void *), void *argument);
bool sim_task_done(const struct task *task);
/* Calls `run` later, whatever is killed meanwhile; it must not sleep. */
void sim_at(int64_t in_us, void (*run)(void *), void *argument);

/* kill -9. Does not return when the caller belongs to it. */
void process_kill(struct process *process);
/* A place where the caller's process might die; perhaps it does. */
void sim_danger(const char *place);
/* As SIGSTOP and, after a time, SIGCONT. */
void process_freeze(struct process *process, int64_t us);
/* Called for each process that is killed. */
void sched_on_kill(void (*hook)(struct process *process));

/* Runs until `done` says so or the time is up; false then. */
bool sched_run(int64_t until_us, bool (*done)(void));

/* Descriptors that can be rung and polled (base/wake.h). */
int sim_bell_new(void);
void sim_bell_ring(int fd);
void sim_bell_clear(int fd);
bool sim_bell_rung(int fd);
/* Waits until one of the bells rings, at most `us` (below 0: without end). */
void sim_wait(const int *fds, size_t n, int64_t us);

/* One line of the trace; its sum over a run is what two runs of one seed have in common. */
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_trace_print(bool print);
uint64_t sim_trace_sum(void);
/* Something that must never happen has happened: says so and ends the run. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
