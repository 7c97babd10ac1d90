/* The project's binaries as children of a test; whatever still runs at the test's end is killed with it. */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* Starts build/bin/`program` with the arguments (ends with NULL); standard error goes to `log` (appended to). `fault` is
 * the SAGA_FAULT of the child, NULL for none. The test fails when it cannot be started. */
pid_t process_start(const char *program, const char *const *arguments, const char *log, const char *fault);
void process_kill(pid_t pid);              /* kill -9, and waits */
int process_stop(pid_t pid, int within_s); /* SIGTERM; returns the exit status; the test fails when it takes longer */
/* Waits until it ends by itself; returns the wait status. The test fails when it takes longer. */
int process_await(pid_t pid, int within_s);
/* A path for a log of this test, under the build tree; the caller frees it. */
char *process_log_path(const char *test, const char *name);
/* Waits until the file contains the text; the test fails when it takes longer. */
void process_await_log(const char *log, const char *text, int within_s);

#endif
