#include "file.h"

#include <check.h>
#include <stdio.h>

#include "base/mem.h"

#define BYTES_MAX (1 << 20)

char *file_read(const char *path)
{
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "cannot read %s", path);
    char *text = mem_alloc(BYTES_MAX);
    text[fread(text, 1, BYTES_MAX - 1, file)] = '\0';
    fclose(file);
    return text;
}
