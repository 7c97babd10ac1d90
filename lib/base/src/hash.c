#include "base/hash.h"

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    const unsigned char *bytes = data;
    uint64_t hash = 0xcbf29ce484222325ull ^ seed;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    hash ^= hash >> 33; /* MurmurHash3's finaliser: FNV alone leaves the low bits weak */
    hash *= 0xff51afd7ed558ccdull;
    return hash ^ (hash >> 33);
}
