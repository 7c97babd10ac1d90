/* What every check program shares: a list of tests becomes a suite, and main() runs it. */
#ifndef SUITE_H
#define SUITE_H

#include <check.h>
#include <stddef.h>

struct suite_case {
    const char *name;
    const TTest **const *tests; /* pointers to what START_TEST made; ends with NULL */
    double timeout_s;          /* 0: check's own */
};

/* Runs the cases as one suite; returns main's exit status. */
int suite_main(const char *name, const struct suite_case *cases, size_t cases_n);

#define SUITE_MAIN(name, cases)                                                                                        \
    int main(void) { return suite_main((name), (cases), sizeof(cases) / sizeof((cases)[0])); }

#endif
