// SPDX-License-Identifier: Apache-2.0
//
// Waits for moves under way and tells how far they are: partitions and bytes, how fast, how long yet, and where nothing goes
// on, why.
#include <stdio.h>
#include <string.h>

#include "cli/admin_topics.h"
#include "cli/commands.h"
#include "cli/reassign.h"

enum { LOOK_MS = 1000, SAMPLES = 10, QUIET_SECONDS = 3 };

struct follow {
    struct cli *cli;
    const struct reassign_plan *plan;
    uint32_t pending;            // partitions of the plan that are under way
    int64_t left;                // bytes their new replicas lack
    int64_t total;               // the most that were ever left
    const char *reason;          // why nothing goes on, as far as it shows
    int64_t lefts[SAMPLES];      // one a look
    uint32_t looks, quiet;       // without a byte
};

// Bytes of one replica; -1: nobody says.
static int64_t size_in(const struct describe_log_dirs_response *dirs, const char *topic, int32_t partition)
{
    for (uint32_t d = 0; d < dirs->results_count; d++)
        for (uint32_t t = 0; t < dirs->results[d].topics_count; t++) {
            const struct describe_log_dirs_response_topic *it = &dirs->results[d].topics[t];
            for (uint32_t p = 0; bytes_eq(it->name, bytes_str(topic)) && p < it->partitions_count; p++)
                if (it->partitions[p].partition_index == partition)
                    return it->partitions[p].partition_size;
        }
    return -1;
}

struct sizes {
    int32_t node;
    bool answers;
    struct describe_log_dirs_response dirs;
};

static struct sizes *sizes_of(struct follow *f, struct sizes *known, uint32_t *count, int32_t node)
{
    for (uint32_t i = 0; i < *count; i++)
        if (known[i].node == node)
            return &known[i];
    struct sizes *s = &known[(*count)++];
    s->node = node;
    s->answers = client_connection_of(&f->cli->client, node) != NULL && admin_ask_log_dirs(f->cli, node, NULL, &s->dirs);
    return s;
}

static bool is_there(const struct metadata_response *all, int32_t node)
{
    for (uint32_t i = 0; i < all->brokers_count; i++)
        if (all->brokers[i].node_id == node)
            return true;
    return false;
}

static bool look(struct follow *f)
{
    struct list_partition_reassignments_response list;
    struct metadata_response all;
    if (!reassign_ask_list(f->cli, &list) || !topics_ask(f->cli, NULL, 0, &all))
        return false;
    struct sizes *known = cli_alloc(f->cli, (size_t)all.brokers_count + 1, sizeof(*known));
    uint32_t count = 0;
    f->pending = 0;
    f->left = 0;
    f->reason = NULL;
    for (uint32_t i = 0; i < f->plan->count; i++) {
        const struct reassign_move *m = &f->plan->moves[i];
        const struct list_partition_reassignments_response_partition *r = reassign_under_way(&list, m->topic, m->partition);
        const struct metadata_response_partition *p = reassign_find(&all, m->topic, m->partition);
        if (!r || !p)
            continue;
        f->pending++;
        bool leader = is_there(&all, p->leader_id);
        if (!leader)
            f->reason = arena_printf(&f->cli->arena, "%s-%d has no leader", m->topic, m->partition);
        int64_t whole = leader ? size_in(&sizes_of(f, known, &count, p->leader_id)->dirs, m->topic, m->partition) : 0;
        for (uint32_t k = 0; k < r->adding_replicas_count; k++) {
            int32_t to = r->adding_replicas[k];
            if (!is_there(&all, to)) {
                f->reason = arena_printf(&f->cli->arena, "broker %d does not answer", to);
                continue;
            }
            int64_t has = size_in(&sizes_of(f, known, &count, to)->dirs, m->topic, m->partition);
            f->left += whole > 0 && whole > has ? whole - (has > 0 ? has : 0) : 0;
        }
    }
    f->total = f->left > f->total ? f->left : f->total;
    return true;
}

static const char *bytes_text(struct arena *a, double n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    uint32_t u = 0;
    while (n >= 1024 && u + 1 < ARRAY_COUNT(units)) {
        n /= 1024;
        u++;
    }
    return arena_printf(a, u ? "%.1f %s" : "%.0f %s", n, units[u]);
}

static void tell(struct follow *f)
{
    struct arena *a = &f->cli->arena;
    uint32_t span = f->looks < SAMPLES ? f->looks : SAMPLES - 1;
    int64_t before = f->lefts[(f->looks - span) % SAMPLES];
    double rate = span ? (double)(before - f->left) / span * 1000 / LOOK_MS : 0;
    f->quiet = rate > 0 ? 0 : f->quiet + 1;
    fprintf(stderr, "%u of %u partitions moved, %s to copy", f->plan->count - f->pending, f->plan->count,
            bytes_text(a, (double)f->left));
    if (rate > 0)
        fprintf(stderr, ", %s/s, %.0f s left", bytes_text(a, rate), (double)f->left / rate);
    else if (f->reason)
        fprintf(stderr, ", waiting: %s", f->reason);
    else if (f->quiet >= QUIET_SECONDS)
        fprintf(stderr, ", waiting: %s",
                f->left ? "nothing is copied; is the throttle too low?" : "replicas are not in sync yet");
    fprintf(stderr, "\n");
}

bool reassign_follow(struct cli *cli, const struct reassign_plan *p)
{
    struct follow f = {.cli = cli, .plan = p};
    for (;; f.looks++) {
        if (!look(&f))
            return false;
        f.lefts[f.looks % SAMPLES] = f.left;
        if (f.pending == 0)
            return true;
        tell(&f);
        client_wait_ms(&cli->client, LOOK_MS);
    }
}
