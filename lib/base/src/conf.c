#include "base/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define ENV_NAME_MAX 96

/* "database-url" is SAGA_DATABASE_URL in the environment. */
static char *env_name(const char *option, char out[ENV_NAME_MAX])
{
    snprintf(out, ENV_NAME_MAX, "SAGA_%s", option);
    for (char *c = out; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return out;
}

static bool add_item(struct conf_list *list, const char *item, size_t len, const char *where, struct err *err)
{
    if (list->n == CONF_LIST_MAX)
        return err_set(err, ERR_REFUSED, "%s: more than %d values", where, CONF_LIST_MAX);
    if (len >= sizeof list->items[0])
        return err_set(err, ERR_REFUSED, "%s: '%.*s' is too long", where, (int)len, item);
    memcpy(list->items[list->n], item, len);
    list->items[list->n++][len] = '\0';
    return true;
}

static bool set_list(struct conf_list *list, const char *value, const char *where, struct err *err)
{
    while (*value) {
        size_t len = strcspn(value, ",");
        if (len && !add_item(list, value, len, where, err))
            return false;
        value += len + (value[len] == ',');
    }
    return true;
}

static bool in_range(const struct conf_option *option, long long number, const char *where, struct err *err)
{
    if (number >= option->min && number <= option->max)
        return true;
    return err_set(err, ERR_REFUSED, "%s: must be from %lld to %lld%s", where, option->min, option->max,
                   option->type == CONF_DURATION ? " ms" : "");
}

static bool set_int(const struct conf_option *option, int *out, const char *value, const char *where, struct err *err)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno || end == value || *end)
        return err_set(err, ERR_REFUSED, "%s: '%s' is not a whole number", where, value);
    if (!in_range(option, number, where, err))
        return false;
    *out = (int)number;
    return true;
}

static bool set_duration(const struct conf_option *option, int64_t *out, const char *value, const char *where,
                         struct err *err)
{
    int64_t ms;
    if (!duration_parse(value, &ms))
        return err_set(err, ERR_REFUSED, "%s: '%s' is not a duration like 250ms, 5s, 10m, 2h or 7d", where, value);
    if (!in_range(option, ms, where, err))
        return false;
    *out = ms;
    return true;
}

static bool set_flag(bool *out, const char *value, const char *where, struct err *err)
{
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return err_set(err, ERR_REFUSED, "%s: '%s' is neither true nor false", where, value);
    *out = *value == 't';
    return true;
}

static bool set_option(const struct conf_option *option, void *target, const char *value, const char *where,
                       struct err *err)
{
    void *field = (char *)target + option->offset;
    switch (option->type) {
    case CONF_STRING: *(const char **)field = value; return true;
    case CONF_LIST: return set_list(field, value, where, err);
    case CONF_INT: return set_int(option, field, value, where, err);
    case CONF_DURATION: return set_duration(option, field, value, where, err);
    case CONF_FLAG: return set_flag(field, value, where, err);
    }
    return false;
}

static bool set_from_environment(const struct conf_spec *spec, void *target, struct err *err)
{
    for (const struct conf_option *option = spec->options; option->name; option++) {
        char name[ENV_NAME_MAX];
        const char *value = getenv(env_name(option->name, name));
        const char *where = name;
        if (!value || !*value) {
            value = option->preset;
            where = option->name;
        }
        if (value && !set_option(option, target, value, where, err))
            return false;
    }
    return true;
}

static const struct conf_option *find_option(const struct conf_spec *spec, const char *name, size_t len)
{
    for (const struct conf_option *option = spec->options; option->name; option++) {
        if (strlen(option->name) == len && strncmp(option->name, name, len) == 0)
            return option;
    }
    return NULL;
}

/* One "--name value", "--name=value" or "--flag" at argv[*i]. A list given here replaces the environment's. */
static bool set_from_argument(const struct conf_spec *spec, int argc, char **argv, int *i, bool *seen, void *target,
                              struct err *err)
{
    const char *arg = argv[*i];
    const char *equals = strchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg) - 2 : strlen(arg) - 2;
    const struct conf_option *option = find_option(spec, arg + 2, len);
    if (!option)
        return err_set(err, ERR_REFUSED, "no option '%.*s'; --help lists them", (int)len + 2, arg);
    const char *value = equals ? equals + 1 : NULL;
    if (!value && option->type == CONF_FLAG)
        value = "true";
    if (!value && *i + 1 >= argc)
        return err_set(err, ERR_REFUSED, "%s: a value is missing", arg);
    if (!value)
        value = argv[++*i];
    if (option->type == CONF_LIST && !seen[option - spec->options])
        ((struct conf_list *)(void *)((char *)target + option->offset))->n = 0;
    seen[option - spec->options] = true;
    char where[ENV_NAME_MAX];
    snprintf(where, sizeof where, "--%s", option->name);
    return set_option(option, target, value, where, err);
}

static bool take_word(const struct conf_spec *spec, const char *word, bool first, struct conf_result *result,
                      struct err *err)
{
    if (first && spec->commands) {
        for (const struct conf_command *command = spec->commands; command->name; command++) {
            if (strcmp(command->name, word) == 0) {
                result->command = command->name;
                return true;
            }
        }
        return err_set(err, ERR_REFUSED, "no command '%s'; --help lists them", word);
    }
    if (!spec->arguments || result->args_n == CONF_LIST_MAX)
        return err_set(err, ERR_REFUSED, "'%s' is one word too many; see --help", word);
    result->args[result->args_n++] = word;
    return true;
}

bool conf_parse(const struct conf_spec *spec, int argc, char **argv, void *target, struct conf_result *result,
                struct err *err)
{
    bool seen[64] = {false};
    bool first_word = true;
    *result = (struct conf_result){.command = spec->commands ? spec->commands[0].name : NULL};
    if (!set_from_environment(spec, target, err))
        return false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            result->help = true;
        else if (strcmp(argv[i], "--version") == 0)
            result->version = true;
        else if (strncmp(argv[i], "--", 2) == 0) {
            if (!set_from_argument(spec, argc, argv, &i, seen, target, err))
                return false;
        } else {
            if (!take_word(spec, argv[i], first_word, result, err))
                return false;
            first_word = false;
        }
    }
    return true;
}

void conf_help(const struct conf_spec *spec)
{
    printf("%s: %s\n\nUsage: %s%s [OPTIONS]%s%s\n", spec->program, spec->about, spec->program,
           spec->commands ? " [COMMAND]" : "", spec->arguments ? " " : "", spec->arguments ? spec->arguments : "");
    if (spec->commands) {
        printf("\nCommands (the first one when none is given):\n");
        for (const struct conf_command *command = spec->commands; command->name; command++)
            printf("  %-12s %s\n", command->name, command->help);
    }
    printf("\nOptions, each also an environment variable:\n");
    for (const struct conf_option *option = spec->options; option->name; option++) {
        char left[80], name[ENV_NAME_MAX];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        printf("  %-30s %s", left, option->help);
        if (option->preset)
            printf(" (default %s)", option->preset);
        printf(" [%s]\n", env_name(option->name, name));
    }
    printf("  %-30s %s\n  %-30s %s\n", "--help", "this text", "--version", "the version");
}
