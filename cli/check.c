#include "check.h"

#include <stdint.h>
#include <stdio.h>

#include "verify/verify.h"

#define REPORT_MAX (4u * 1024 * 1024)

static void print_problems(const char *file, const struct problems *problems)
{
    fprintf(stderr, "sagactl: %s is not a valid definition\n", file);
    for (size_t i = 0; i < problems->n && i < PROBLEMS_MAX; i++)
        fprintf(stderr, "  %s: %s\n", *problems->items[i].pointer ? problems->items[i].pointer : "(the whole)", problems->items[i].detail);
}

static bool report(const struct definition *definition, size_t states, bool json)
{
    struct verification verification;
    struct buf text = buf_new(REPORT_MAX);
    bool good = verify(definition, &(struct verify_bounds){states, SIZE_MAX}, &verification) && !verification.violation;
    if (json)
        verify_write(&verification, definition, &text);
    else
        verify_print(&verification, definition, &text);
    printf("%s%s", buf_text(&text), json ? "\n" : "");
    verify_free(&verification);
    buf_free(&text);
    return good;
}

bool check_definition(json_t *source, const char *file, size_t states, bool json)
{
    struct problems problems = {0};
    struct definition *definition = definition_read(source, &problems);
    if (!definition) {
        print_problems(file, &problems);
        return false;
    }
    bool good = report(definition, states, json);
    definition_free(definition);
    return good;
}
