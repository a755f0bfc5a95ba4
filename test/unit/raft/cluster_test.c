// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "cluster.h"

static void run_seeds(struct cluster_config config, uint64_t first, uint64_t count, struct cluster_figures *f)
{
    for (uint64_t s = first; s < first + count; s++) {
        config.seed = s;
        cluster_run(&config, f);
    }
    cr_log_info(
        "%llu elections, %llu truncations, %llu installs, %llu crashes, %llu changes, %llu wipes, %llu commits, "
        "%llu reads, %llu transfers",
        (unsigned long long)f->elections, (unsigned long long)f->truncations, (unsigned long long)f->installs,
        (unsigned long long)f->crashes, (unsigned long long)f->changes, (unsigned long long)f->wipes,
        (unsigned long long)f->commits, (unsigned long long)f->reads, (unsigned long long)f->transfers);
}

Test(cluster, three_nodes_keep_one_log_under_every_fault)
{
    struct cluster_figures f = {0};
    struct cluster_config c = {
        .voters = 3, .events = 6000, .drop_percent = 8, .repeat_percent = 5, .crashes = true, .cuts = true};
    run_seeds(c, 1, 500, &f);
    // Floors: what has not happened has not been tested.
    cr_assert_gt(f.elections, 2500);
    cr_assert_gt(f.truncations, 400);
    cr_assert_gt(f.installs, 1000);
    cr_assert_gt(f.crashes, 5000);
    cr_assert_gt(f.reads, 5000);
    cr_assert_gt(f.commits, 100000);
}

Test(cluster, five_nodes_and_two_observers_change_their_members)
{
    struct cluster_figures f = {0};
    struct cluster_config c = {.voters = 5,
                               .observers = 2,
                               .events = 6000,
                               .drop_percent = 4,
                               .repeat_percent = 4,
                               .crashes = true,
                               .cuts = true,
                               .changes = true};
    run_seeds(c, 1000, 300, &f);
    cr_assert_gt(f.changes, 250);
    cr_assert_gt(f.truncations, 400);
    cr_assert_gt(f.transfers, 5);
}

Test(cluster, emptied_members_never_bring_back_what_they_forgot)
{
    struct cluster_figures f = {0};
    struct cluster_config c = {.voters = 3,
                               .observers = 1,
                               .events = 6000,
                               .drop_percent = 3,
                               .repeat_percent = 3,
                               .crashes = true,
                               .cuts = true,
                               .changes = true,
                               .wipes = true};
    run_seeds(c, 5000, 300, &f);
    cr_assert_gt(f.wipes, 200);
    cr_assert_gt(f.commits, 50000);
}

Test(cluster, a_calm_network_elects_once)
{
    struct cluster_figures f = {0};
    struct cluster_config c = {.voters = 3, .events = 3000};
    run_seeds(c, 9000, 20, &f);
    cr_assert_leq(f.elections, 26, "%llu", (unsigned long long)f.elections);
}
