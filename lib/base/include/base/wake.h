/* A bell between threads: any number of rings before it is heard count as one. Its descriptor can be polled beside others. */
#ifndef BASE_WAKE_H
#define BASE_WAKE_H

/* An eventfd that nobody has rung; the caller closes it. Ends the process when there are no descriptors left at start. */
int wake_new(void);
/* Any thread; never blocks. */
void wake_ring(int fd);
/* Forgets the rings so far. */
void wake_clear(int fd);
/* Waits up to `timeout_ms` (-1: without end) for a ring and forgets it. */
void wake_wait(int fd, int timeout_ms);

#endif
