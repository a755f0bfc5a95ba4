// SPDX-License-Identifier: Apache-2.0
//
// Hashes as Kafka's own clients compute them, recorded from its Java client's tests and from librdkafka's.
#include <criterion/criterion.h>
#include <stdio.h>

#include "client/partitioner.h"

Test(partitioner, murmur2_of_known_keys)
{
    static const struct {
        const char *key;
        int32_t hash;
    } cases[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq((int32_t)partitioner_murmur2(bytes_str(cases[i].key)), cases[i].hash, "%s", cases[i].key);
}

Test(partitioner, partitions_are_in_range_and_cover_all)
{
    bool seen[7] = {false};
    for (int i = 0; i < 1000; i++) {
        char key[16];
        int n = snprintf(key, sizeof(key), "key-%d", i);
        int32_t p = partitioner_of_key(bytes_of(key, (size_t)n), 7);
        cr_assert(p >= 0 && p < 7);
        seen[p] = true;
    }
    for (int i = 0; i < 7; i++)
        cr_assert(seen[i]);
}
