/* Configuration after the 12-factor habit: one table of options gives the command line, the environment variables
 * (--database-url is SAGA_DATABASE_URL) and the --help text. The command line wins over the environment. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum conf_type {
    CONF_STRING,   /* const char * */
    CONF_LIST,     /* struct conf_list: the option may be repeated, or hold commas */
    CONF_INT,      /* int, within min and max */
    CONF_DURATION, /* int64_t milliseconds, within min and max */
    CONF_FLAG,     /* bool, no value on the command line; true/false in the environment */
};

#define CONF_LIST_MAX 16
struct conf_list {
    char items[CONF_LIST_MAX][64];
    size_t n;
};

struct conf_option {
    const char *name; /* "database-url" */
    enum conf_type type;
    size_t offset;         /* into the caller's struct */
    const char *preset;    /* the default in text form; NULL for none */
    const char *value;     /* the value's name in --help: "URL" */
    const char *help;
    long long min, max;    /* for CONF_INT and CONF_DURATION */
};

struct conf_command {
    const char *name; /* "serve"; the first one is what runs without a word */
    const char *help;
};

struct conf_spec {
    const char *program;
    const char *about;                    /* one sentence */
    const char *arguments;                /* what follows a command, for --help; NULL when nothing may follow */
    const struct conf_command *commands;  /* ends with a NULL name; NULL for a program without commands */
    const struct conf_option *options;    /* ends with a NULL name */
};

struct conf_result {
    const char *command; /* one of the spec's commands, or NULL */
    const char *args[CONF_LIST_MAX];
    size_t args_n;
    bool help, version; /* the caller prints conf_help() or the version and leaves */
};

/* Fills `target` (zeroed by the caller) from defaults, environment and command line. Strings point into argv or the
 * environment. */
MUST_CHECK bool conf_parse(const struct conf_spec *spec, int argc, char **argv, void *target, struct conf_result *result,
                           struct err *err);
/* The --help text on standard output. */
void conf_help(const struct conf_spec *spec);

#endif
