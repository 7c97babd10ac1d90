#include "suite.h"

#include <stdlib.h>

int suite_main(const char *name, const struct suite_case *cases, size_t cases_n)
{
    Suite *suite = suite_create(name);
    for (size_t i = 0; i < cases_n; i++) {
        TCase *tcase = tcase_create(cases[i].name);
        if (cases[i].timeout_s > 0)
            tcase_set_timeout(tcase, cases[i].timeout_s);
        for (const TTest **const *test = cases[i].tests; *test; test++)
            tcase_add_test(tcase, **test);
        suite_add_tcase(suite, tcase);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
