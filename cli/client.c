#include "client.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

#define ANSWER_MAX (256u * 1024 * 1024)

static size_t on_data(char *data, size_t size, size_t n, void *context)
{
    struct buf *out = context;
    buf_add(out, data, size * n);
    return out->failed ? 0 : size * n;
}

static bool perform(CURL *curl, const char *target, const char *method, const char *body, struct buf *out, int *status,
                    struct err *err)
{
    long code = 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_URL, target);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    }
    CURLcode result = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    if (result != CURLE_OK)
        return err_set(err, ERR_RETRY, "%s: %s", target, curl_easy_strerror(result));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    *status = (int)code;
    return true;
}

bool client_call(const char *url, const char *method, const char *path, const json_t *body, int *status,
                 json_t **answer, struct err *err)
{
    CURL *curl = curl_easy_init();
    if (!curl)
        return err_set(err, ERR_FATAL, "libcurl does not start");
    struct buf out = buf_new(ANSWER_MAX);
    char *target = mem_printf("%s%s", url, path);
    char *text = body ? json_text(body) : NULL;
    bool ok = perform(curl, target, method, text, &out, status, err);
    json_t *value = ok ? json_read(buf_text(&out), out.len, err) : NULL;
    if (ok && !value)
        ok = err_set(err, ERR_REFUSED, "%s answered %d with something that is not JSON: is this the orchestrator?", target, *status);
    if (ok)
        *answer = value;
    curl_easy_cleanup(curl);
    buf_free(&out);
    free(target);
    free(text);
    return ok;
}
