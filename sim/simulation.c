#include "simulation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES (1024u * 1024)
#else
#define STACK_BYTES (256u * 1024)
#endif
#define TASKS_MAX 512
#define BELLS_MAX 65536
#define BELL_BASE (1 << 20) /* above any descriptor of the real process */
#define WAITS_MAX 4
#define HOOKS_MAX 4
#define STILL_MAX 2000000 /* steps without time passing: nothing real does that */
#define WAKE_MEAN_US 20

struct task {
    ucontext_t context;
    void *stack;
    struct process *process;
    void *(*run)(void *);
    void *argument;
    int64_t wake_us;
    jmp_buf place; /* where it went on waiting */
    bool begun;
    bool done;
    int waits[WAITS_MAX];
    size_t waits_n;
    void *fake_stack;
};

struct event {
    int64_t at_us;
    uint64_t order;
    void (*run)(void *);
    void *argument;
};

static struct {
    uint64_t random;
    int64_t now_us;
    struct task *tasks[TASKS_MAX];
    size_t tasks_n;
    struct task *current;
    ucontext_t home;
    jmp_buf home_place;
    void *spare[TASKS_MAX];
    size_t spare_n;
    struct event *events; /* a heap */
    size_t events_n, events_cap;
    uint64_t order;
    bool bells[BELLS_MAX];
    int bells_n;
    void (*hooks[HOOKS_MAX])(struct process *);
    size_t hooks_n;
    uint64_t sum;
    bool print;
    uint64_t still;
    const void *home_stack;
    size_t home_bytes;
} sim;

void sched_open(uint64_t seed)
{
    sim.random = seed * 0x9e3779b97f4a7c15u + 0x1234567;
    sim.sum = 0xcbf29ce484222325u;
}

/* ---- chance ---- */

/* splitmix64 */
uint64_t sim_random(void)
{
    uint64_t z = (sim.random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sim_below(uint64_t n)
{
    return n ? sim_random() % n : 0;
}

bool sim_chance(double p)
{
    return (double)(sim_random() >> 11) * 0x1p-53 < p;
}

int64_t sim_spread(int64_t mean_us)
{
    int64_t us = (int64_t)sim_below((uint64_t)mean_us) + 1;
    while (sim_chance(0.25))
        us *= 2;
    return us;
}

/* ---- the trace ---- */

void sim_trace_print(bool print)
{
    sim.print = print;
}

uint64_t sim_trace_sum(void)
{
    return sim.sum;
}

void sim_trace(const char *format, ...)
{
    char line[1024];
    va_list args;
    const struct process *process = sim_process();
    int head = snprintf(line, sizeof line, "%3lld.%06lld %-16s ", (long long)sim.now_us / 1000000, (long long)sim.now_us % 1000000, process ? process->name : "-");
    va_start(args, format);
    vsnprintf(line + head, sizeof line - (size_t)head, format, args);
    va_end(args);
    for (const char *at = line; *at; at++)
        sim.sum = (sim.sum ^ (unsigned char)*at) * 0x100000001b3u;
    if (sim.print)
        printf("%s\n", line);
}

void sim_fail(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    va_start(args, format);
    fprintf(stderr, "at %.6f s: ", (double)sim.now_us / 1e6);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(stderr);
    _exit(1);
}

/* ---- tasks ---- */

int64_t sim_now_us(void)
{
    return sim.now_us;
}

struct process *sim_process(void)
{
    return sim.current ? sim.current->process : NULL;
}

#if defined(__SANITIZE_ADDRESS__)
static void enter(struct task *task)
{
    void *fake;
    __sanitizer_start_switch_fiber(&fake, task->stack, STACK_BYTES);
    swapcontext(&sim.home, &task->context);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

static void leave(struct task *task)
{
    __sanitizer_start_switch_fiber(task->done ? NULL : &task->fake_stack, sim.home_stack, sim.home_bytes);
    swapcontext(&task->context, &sim.home);
    __sanitizer_finish_switch_fiber(task->fake_stack, &sim.home_stack, &sim.home_bytes);
}

static void arrive(void)
{
    __sanitizer_finish_switch_fiber(NULL, &sim.home_stack, &sim.home_bytes);
}
#else
/* swapcontext asks the kernel for the signal mask each time; only a task's first run needs it. */
static void enter(struct task *task)
{
    if (_setjmp(sim.home_place))
        return;
    if (task->begun)
        _longjmp(task->place, 1);
    task->begun = true;
    setcontext(&task->context);
}

static void leave(struct task *task)
{
    if (!_setjmp(task->place))
        _longjmp(sim.home_place, 1);
}

static void arrive(void)
{
}
#endif

static void run_task(void)
{
    arrive();
    struct task *task = sim.current;
    task->run(task->argument);
    task->done = true;
    leave(task);
}

static void *new_stack(void)
{
    if (sim.spare_n)
        return sim.spare[--sim.spare_n];
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        abort();
    return stack;
}

struct task *sim_spawn(struct process *process, void *(*run)(void *), void *argument)
{
    if (sim.tasks_n == TASKS_MAX)
        sim_fail("the simulator has no room for another thread");
    struct task *task = mem_alloc(sizeof *task);
    task->stack = new_stack();
    task->process = process;
    task->run = run;
    task->argument = argument;
    task->wake_us = sim.now_us + sim_spread(WAKE_MEAN_US);
    getcontext(&task->context);
    task->context.uc_stack.ss_sp = task->stack;
    task->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&task->context, run_task, 0);
    sim.tasks[sim.tasks_n++] = task;
    return task;
}

bool sim_task_done(const struct task *task)
{
    return task->done;
}

void sim_sleep(int64_t us)
{
    sim_wait(NULL, 0, us);
}

void sim_wait(const int *fds, size_t n, int64_t us)
{
    struct task *task = sim.current;
    if (!task)
        sim_fail("the world outside cannot wait");
    task->wake_us = us < 0 ? INT64_MAX : sim.now_us + us;
    task->waits_n = n < WAITS_MAX ? n : WAITS_MAX;
    for (size_t i = 0; i < task->waits_n; i++)
        task->waits[i] = fds[i];
    leave(task);
    task->waits_n = 0;
}

/* ---- bells ---- */

int sim_bell_new(void)
{
    if (sim.bells_n == BELLS_MAX)
        sim_fail("the simulator has no room for another descriptor");
    return BELL_BASE + sim.bells_n++;
}

void sim_bell_ring(int fd)
{
    sim.bells[fd - BELL_BASE] = true;
    for (size_t i = 0; i < sim.tasks_n; i++) {
        struct task *task = sim.tasks[i];
        for (size_t k = 0; k < task->waits_n; k++) {
            int64_t soon_us = sim.now_us + sim_spread(WAKE_MEAN_US);
            if (task->waits[k] == fd && soon_us < task->wake_us)
                task->wake_us = soon_us;
        }
    }
}

void sim_bell_clear(int fd)
{
    sim.bells[fd - BELL_BASE] = false;
}

bool sim_bell_rung(int fd)
{
    return fd >= BELL_BASE && sim.bells[fd - BELL_BASE];
}

/* ---- events of the world ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(size_t a, size_t b)
{
    struct event kept = sim.events[a];
    sim.events[a] = sim.events[b];
    sim.events[b] = kept;
}

void sim_at(int64_t in_us, void (*run)(void *), void *argument)
{
    if (sim.events_n == sim.events_cap) {
        sim.events_cap = sim.events_cap ? 2 * sim.events_cap : 256;
        sim.events = mem_grow(sim.events, sim.events_cap, sizeof *sim.events);
    }
    size_t at = sim.events_n++;
    sim.events[at] = (struct event){sim.now_us + in_us, sim.order++, run, argument};
    for (; at && before(&sim.events[at], &sim.events[(at - 1) / 2]); at = (at - 1) / 2)
        swap(at, (at - 1) / 2);
}

static struct event take_event(void)
{
    struct event first = sim.events[0];
    sim.events[0] = sim.events[--sim.events_n];
    for (size_t at = 0;;) {
        size_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < sim.events_n && before(&sim.events[left], &sim.events[least]))
            least = left;
        if (right < sim.events_n && before(&sim.events[right], &sim.events[least]))
            least = right;
        if (least == at)
            return first;
        swap(at, least);
        at = least;
    }
}

/* ---- processes ---- */

void sched_on_kill(void (*hook)(struct process *process))
{
    if (sim.hooks_n == HOOKS_MAX)
        abort();
    sim.hooks[sim.hooks_n++] = hook;
}

void process_kill(struct process *process)
{
    sim_trace("killed: %s", process->name);
    process->alive = false;
    for (size_t i = 0; i < sim.tasks_n; i++) {
        if (sim.tasks[i]->process == process)
            sim.tasks[i]->done = true;
    }
    for (size_t i = 0; i < sim.hooks_n; i++)
        sim.hooks[i](process);
    if (sim.current && sim.current->process == process)
        leave(sim.current);
}

void process_freeze(struct process *process, int64_t us)
{
    sim_trace("frozen for %lld us: %s", (long long)us, process->name);
    process->frozen_until_us = sim.now_us + us;
}

/* ---- the loop ---- */

static void sweep(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < sim.tasks_n; i++) {
        struct task *task = sim.tasks[i];
        if (!task->done) {
            sim.tasks[kept++] = task;
            continue;
        }
        sim.spare[sim.spare_n++] = task->stack; /* the task itself stays for whoever joins it */
    }
    sim.tasks_n = kept;
}

static int64_t due_us(const struct task *task)
{
    if (task->process && task->process->frozen_until_us > task->wake_us)
        return task->process->frozen_until_us;
    return task->wake_us;
}

static struct task *first_due(int64_t *at_us)
{
    struct task *first = NULL;
    *at_us = INT64_MAX;
    for (size_t i = 0; i < sim.tasks_n; i++) {
        int64_t us = due_us(sim.tasks[i]);
        if (us >= *at_us)
            continue;
        *at_us = us;
        first = sim.tasks[i];
    }
    return first;
}

static void move_clock(int64_t to_us)
{
    sim.still = to_us > sim.now_us ? 0 : sim.still + 1;
    if (sim.still > STILL_MAX)
        sim_fail("a thread of %s runs in circles", sim_process() ? sim_process()->name : "the world");
    if (to_us > sim.now_us)
        sim.now_us = to_us;
}

bool sched_run(int64_t until_us, bool (*done)(void))
{
    while (!done()) {
        int64_t task_us, event_us = sim.events_n ? sim.events[0].at_us : INT64_MAX;
        struct task *task = first_due(&task_us);
        int64_t next_us = event_us <= task_us ? event_us : task_us;
        if (next_us > until_us)
            return false;
        move_clock(next_us);
        if (event_us <= task_us) {
            struct event event = take_event();
            event.run(event.argument);
        } else {
            sim.current = task;
            enter(task);
            sim.current = NULL;
        }
        sweep();
    }
    return true;
}
