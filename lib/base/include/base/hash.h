/* A fast, stable hash for spreading (buckets, jitter): never for anything that an attacker must not steer. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a of 64 bits, mixed at the end; the same on every machine and in every version. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

#endif
