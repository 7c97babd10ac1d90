/* What sagactl's files share: the options, and calls to the API with their answers for people. */
#ifndef CLI_H
#define CLI_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct options {
    const char *url;
    const char *input;
    const char *key;
    const char *state;
    const char *definition;
    const char *wait_for;
    const char *reason;
    const char *by;
    const char *seen;
    const char *outcome;
    const char *output;
    const char *at;
    const char *delay;
    const char *live_key;
    const char *on_conflict;
    const char *labels;
    const char *parent;
    int version;
    int limit;
    int states;
    bool wait;
    bool json;
};

/* Exit statuses beside EXIT_SUCCESS: the API said no, wrong usage, no answer. */
enum { EXIT_NO = 1, EXIT_USAGE = 2, EXIT_SILENT = 3 };

/* The member's text; "" when it is none. */
const char *text(const json_t *object, const char *name);
/* As one part of a path or a query. */
void add_escaped(struct buf *url, const char *part);
/* The JSON in a file ("-": standard input) or in an argument (NULL: {}; "@FILE" reads it); NULL with the reason. The caller drops it. */
json_t *read_file(const char *path, struct err *err);
json_t *read_argument(const char *argument, struct err *err);

void print_problem(const json_t *problem);
void print_saga_line(const json_t *saga);
void print_saga(const json_t *saga);
/* Calls the API; on success (2xx) prints the answer as JSON when asked so, else by `print`. `kept` (NULL: no) gets the answer of a success, which
 * the caller drops. Returns the exit status. */
int call_and_print(const struct options *o, const char *method, const char *path, const json_t *body, void (*print)(const json_t *), json_t **kept);
/* With --wait only COMPLETED is success. Drops the saga. */
int by_state(const struct options *o, int status, json_t *saga);

/* The commands: `argument` and `second` are what was given with them, or NULL. Each returns the exit status. */
typedef int command_run(const struct options *o, const char *command, const char *argument, const char *second);
command_run run_hold, run_signal, run_act;                                              /* acts.c */
command_run run_definitions, run_get, run_history, run_entity, run_conflicts, run_list; /* look.c */

#endif
