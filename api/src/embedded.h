/* Files that the build put into the program. */
#ifndef API_EMBEDDED_H
#define API_EMBEDDED_H

#include <stddef.h>

struct embedded_file {
    const char *name; /* NULL ends the array */
    const char *etag;
    const unsigned char *data;
    size_t len;
};

extern const struct embedded_file dashboard_files[];

#endif
