// SPDX-License-Identifier: Apache-2.0
//
// The histogram against exact ranks.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/prng.h"
#include "cli/histogram.h"

static struct histogram h;

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

Test(histogram, empty)
{
    cr_assert_eq(histogram_quantile(&h, 0.99), 0);
}

Test(histogram, small_values_are_exact)
{
    for (uint64_t v = 1; v <= 100; v++)
        histogram_add(&h, v);
    cr_assert_eq(histogram_quantile(&h, 0.5), 50);
    cr_assert_eq(histogram_quantile(&h, 0.99), 99);
    cr_assert_eq(histogram_quantile(&h, 1), 100);
    cr_assert_eq(histogram_quantile(&h, 0), 1);
}

Test(histogram, quantiles_are_within_one_percent_above)
{
    enum { N = 20000 };
    static uint64_t values[N];
    struct prng r;
    prng_init(&r, 42);
    for (int i = 0; i < N; i++) {
        values[i] = prng_next(&r) >> (30 + prng_below(&r, 30)); // every order of magnitude up to 17 s
        histogram_add(&h, values[i]);
    }
    qsort(values, N, sizeof(values[0]), by_value);
    static const double shares[] = {0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        size_t rank = (size_t)(shares[i] * N);
        uint64_t exact = values[rank > 0 ? rank - 1 : 0], got = histogram_quantile(&h, shares[i]);
        cr_assert_geq(got, exact);
        cr_assert_leq((double)got, (double)exact * 1.008 + 1);
    }
    cr_assert_eq(histogram_quantile(&h, 1), values[N - 1]);
}

Test(histogram, longer_than_its_range_counts_and_keeps_the_maximum)
{
    histogram_add(&h, UINT64_MAX / 2);
    histogram_add(&h, 5);
    cr_assert_eq(h.count, 2);
    cr_assert_eq(histogram_quantile(&h, 1), UINT64_MAX / 2);
    cr_assert_eq(histogram_quantile(&h, 0.5), 5);
}
