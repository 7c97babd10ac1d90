/* A participant made of a few lines, for tests of the other side: a thread that consumes the commands of some services and has the test answer
 * them. It keeps no records: what it is sent twice, it answers twice. */
#ifndef PARTICIPANT_H
#define PARTICIPANT_H

#include <stddef.h>

#include "wire/wire.h"

struct participant;
/* Called on the participant's thread; answers by participant_reply, once, twice or never. */
typedef void participant_answer(struct participant *participant, const struct wire_command *command);

#define PARTICIPANT_SERVICES_MAX 24

/* Makes the services' topics, with four partitions each, and returns when it has those. The test fails when it cannot. */
struct participant *participant_start(const char *prefix, const char *const *services, size_t services_n, participant_answer *answer);
/* `value` is the reply's JSON. */
void participant_reply(struct participant *participant, const struct wire_command *command, const char *value);
void participant_stop(struct participant *participant);

#endif
