#include "base/vclock.h"

#include <string.h>

#include "base/json.h"

static bool is_counters(json_t *counters)
{
    const char *service;
    json_t *number;
    if (!json_is_object(counters) || json_object_size(counters) > VCLOCK_SERVICES_MAX)
        return false;
    json_object_foreach(counters, service, number) {
        if (!*service || strlen(service) > VCLOCK_SERVICE_MAX || !json_is_integer(number) || json_integer_value(number) < 1)
            return false;
    }
    return true;
}

static bool is_clock(json_t *value)
{
    const char *entity;
    json_t *counters;
    if (!json_is_object(value) || json_object_size(value) > VCLOCK_ENTITIES_MAX)
        return false;
    json_object_foreach(value, entity, counters) {
        if (!*entity || strlen(entity) > VCLOCK_KEY_MAX || !is_counters(counters))
            return false;
    }
    return true;
}

json_t *vclock_read(const char *text, size_t len, struct err *err)
{
    json_t *clock = len <= VCLOCK_TEXT_MAX ? json_read(text, len, err) : NULL;
    if (clock && is_clock(clock))
        return clock;
    json_decref(clock);
    err_set(err, ERR_REFUSED, "expected a vector clock like {\"order:7\": {\"payment\": 3}}");
    return NULL;
}

int64_t vclock_get(const json_t *clock, const char *entity, const char *service)
{
    return json_integer_value(json_object_get(json_object_get(clock, entity), service));
}

bool vclock_set(json_t *clock, const char *entity, const char *service, int64_t number)
{
    json_t *counters = json_object_get(clock, entity);
    if (!counters && json_object_size(clock) == VCLOCK_ENTITIES_MAX)
        return false;
    if (!counters) {
        counters = json_object();
        json_object_set_new(clock, entity, counters);
    }
    if (!json_object_get(counters, service) && json_object_size(counters) == VCLOCK_SERVICES_MAX)
        return false;
    json_object_set_new(counters, service, json_integer(number));
    return true;
}

bool vclock_merge(json_t *into, json_t *other)
{
    const char *entity, *service;
    json_t *counters, *number;
    bool changed = false;
    json_object_foreach(other, entity, counters) {
        if (!json_object_get(into, entity))
            continue;
        json_object_foreach(counters, service, number) {
            if (json_integer_value(number) > vclock_get(into, entity, service))
                changed = vclock_set(into, entity, service, json_integer_value(number)) || changed;
        }
    }
    return changed;
}
