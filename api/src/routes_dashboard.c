/* The dashboard's files. Its pages are one document, which shows what its address says by asking the API like any other
 * client; nothing here knows a saga. */
#include <string.h>

#include "call.h"
#include "embedded.h"

/* Everything comes from here; nothing may be framed, sent elsewhere or run from the page's text. */
static const struct http_header headers[] = {
    {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
                                " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-cache"},
};

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".svg", "image/svg+xml"}};
    const char *end = strrchr(name, '.');
    for (size_t i = 0; end && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(end, types[i][0]) == 0)
            return types[i][1];
    }
    return "application/octet-stream";
}

static void answer_file(struct call *call, const char *name)
{
    for (const struct embedded_file *file = dashboard_files; file->name; file++) {
        if (strcmp(file->name, name) != 0)
            continue;
        call_file(call, type_of(name), file->data, file->len, file->etag, headers, sizeof headers / sizeof headers[0]);
        return;
    }
    call_not_found(call, "the dashboard has no such file");
}

void dashboard_page(struct call *call)
{
    answer_file(call, "index.html");
}

void dashboard_asset(struct call *call)
{
    answer_file(call, call->parameter);
}
