#include "base/turn.h"

#include "base/clock.h"

void turn_open(struct turn *turn)
{
    *turn = (struct turn){0};
    pthread_mutex_init(&turn->lock, NULL);
}

void turn_close(struct turn *turn)
{
    pthread_mutex_destroy(&turn->lock);
}

bool turn_take(struct turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    bool mine = !turn->taken && clock_mono_ms() >= turn->until_ms;
    turn->taken = turn->taken || mine;
    pthread_mutex_unlock(&turn->lock);
    return mine;
}

void turn_done(struct turn *turn, int64_t good_for_ms)
{
    turn->until_ms = good_for_ms ? clock_mono_ms() + good_for_ms : 0;
    turn->taken = false;
}
