#include "path.h"

#include <string.h>

bool path_split(char *text, struct path *path)
{
    path->n = 0;
    if (!*text)
        return true;
    for (char *part; (part = strsep(&text, "."));) {
        if (!*part || path->n == PATH_PARTS_MAX)
            return false;
        path->parts[path->n++] = part;
    }
    return true;
}

static int find_step(const struct template_names *names, const char *name)
{
    for (size_t i = 0; i < names->steps_n; i++) {
        if (strcmp(names->steps[i], name) == 0)
            return (int)i;
    }
    return -1;
}

static void drop(struct path *path, size_t n)
{
    path->n -= n;
    memmove(path->parts, path->parts + n, path->n * sizeof path->parts[0]);
}

const char *path_head(struct path *path, const struct template_names *names, int *step)
{
    if (path->n >= 1 && strcmp(path->parts[0], "input") == 0) {
        *step = TEMPLATE_INPUT;
        drop(path, 1);
        return NULL;
    }
    if (path->n < 3 || strcmp(path->parts[0], "steps") != 0 || strcmp(path->parts[2], "output") != 0)
        return "must begin with 'input' or 'steps.NAME.output'";
    *step = find_step(names, path->parts[1]);
    if (*step < 0)
        return "names no step that comes before this one";
    drop(path, 3);
    return NULL;
}

const json_t *path_member(const json_t *value, const char *name)
{
    if (!json_is_array(value))
        return json_object_get(value, name);
    size_t index = 0;
    for (const char *c = name; *c; c++) {
        if (*c < '0' || *c > '9' || index > 1000000)
            return NULL;
        index = index * 10 + (size_t)(*c - '0');
    }
    return json_array_get(value, index);
}
