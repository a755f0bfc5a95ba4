// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "model.h"

// WEIR_GROUP_SEEDS and WEIR_GROUP_STEPS ask for more than a run of the units has time for; WEIR_GROUP_SEED for one seed.
static void campaign(struct model_config c, uint64_t first)
{
    struct model_figures f = {0};
    const char *many = getenv("WEIR_GROUP_SEEDS"), *one = getenv("WEIR_GROUP_SEED"), *steps = getenv("WEIR_GROUP_STEPS");
    uint64_t count = many ? strtoull(many, NULL, 10) : 60;
    if (one) {
        first = strtoull(one, NULL, 10);
        count = 1;
    }
    c.steps = steps ? (uint32_t)strtoul(steps, NULL, 10) : 3000;
    for (uint64_t i = 0; i < count; i++) {
        c.seed = first + i;
        model_run(&c, &f);
    }
    fprintf(stderr,
            "%llu seeds: %llu joins, %llu in a generation, %llu rebalances, %llu commits acknowledged, %llu refused, %llu "
            "appends failed, %llu late, %llu reloads, %llu fenced, %llu replaced, %llu replays compared\n",
            (unsigned long long)count, (unsigned long long)f.joins, (unsigned long long)f.stable,
            (unsigned long long)f.rebalances, (unsigned long long)f.commits, (unsigned long long)f.refused,
            (unsigned long long)f.failed, (unsigned long long)f.late, (unsigned long long)f.reloads,
            (unsigned long long)f.fenced, (unsigned long long)f.replaced, (unsigned long long)f.replays);
    cr_assert_gt(f.stable, 0);
    cr_assert_gt(f.commits, 0);
}

Test(model, members_come_and_go)
{
    campaign((struct model_config){.statics = false}, 1);
}

Test(model, static_members_are_replaced)
{
    campaign((struct model_config){.statics = true, .log_faults = true}, 100000);
}

Test(model, coordinators_end_and_are_loaded)
{
    campaign((struct model_config){.statics = true, .log_faults = true, .reloads = true}, 200000);
}

Test(model, groups_and_offsets_are_deleted)
{
    campaign((struct model_config){.statics = true, .log_faults = true, .reloads = true, .deletes = true}, 300000);
}
