/* Who holds an entity key, and who waits for it. */
#include "base/text.h"
#include "call.h"

#define ANSWER_MAX (1024u * 1024)
#define QUEUE_SHOWN 500

static void add_claim(struct buf *out, const struct store_claim *claim)
{
    char id[UUID_TEXT_MAX];
    buf_printf(out, "{\"saga\":\"%s\",\"definition\":\"%s\",\"state\":\"%s\"", uuid_format(&claim->saga_id, id), claim->definition, claim->state);
    buf_time_member(out, "since", claim->claimed_ms);
    buf_char(out, '}');
}

bool entities_read_key(struct call *call)
{
    if (text_is_utf8(call->parameter))
        return true;
    call_problem(call, 400, "invalid-key", "The path has no valid key", "expected UTF-8", NULL);
    return false;
}

/* The first of the queue holds the key if it has begun: one that is to hold several may head this queue and still wait for another. */
void entities_get(struct call *call)
{
    struct store_claim *claims;
    size_t n;
    struct err err;
    if (!entities_read_key(call))
        return;
    if (!store_get_queue(call->reader->pg, &call->arena, call->parameter, QUEUE_SHOWN, &claims, &n, &err)) {
        call_database_problem(call, &err);
        return;
    }
    struct buf body = buf_new(ANSWER_MAX);
    enum saga_state state;
    size_t held = n && saga_state_parse(claims[0].state, &state) && !saga_waits(state) ? 1 : 0;
    buf_str(&body, "{\"key\":");
    buf_json_str(&body, call->parameter);
    buf_str(&body, ",\"holder\":");
    if (held)
        add_claim(&body, &claims[0]);
    else
        buf_str(&body, "null");
    buf_str(&body, ",\"queue\":[");
    for (size_t i = held; i < n; i++) {
        buf_str(&body, i > held ? "," : "");
        add_claim(&body, &claims[i]);
    }
    buf_str(&body, "]}");
    call_json(call, 200, &body, NULL);
}
