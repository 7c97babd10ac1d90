/* Named fault points: places where a test kills, stops or delays a process. They exist only in builds with
 * SAGA_FAULT_POINTS; in others fault_point() is nothing. SAGA_FAULT="engine.before_commit=kill@17;relay.acked=sleep:500"
 * names points, what to do, and at which passage (the first, when left out). */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#ifdef SAGA_FAULT_POINTS
void fault_point(const char *name);
#else
static inline void fault_point(const char *name) { (void)name; }
#endif

#endif
