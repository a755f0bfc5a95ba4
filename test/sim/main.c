// SPDX-License-Identifier: Apache-2.0
//
// weir-sim: runs scenarios from seeds and says how to replay one that fails.
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"

static const struct sim_scenario *const scenarios[] = {&scenario_store, &scenario_meta, &scenario_quorum,
                                                       &scenario_node,  &scenario_cluster, &scenario_group};

// Seeds that once failed, by what they showed. Each runs with every test; a change of the product may lead a seed
// elsewhere, but none of them may fail again.
static const struct regression {
    const char *name;
    const struct sim_scenario *scenario;
    uint64_t seed, events, faults;
    bool starts_die; // younger than such deaths
} regressions[] = {
    {"retention-before-its-start", &scenario_store, 1, 20000, 20, false},
    {"snapshot-gone-before-its-point", &scenario_store, 56, 20000, 20, false},
    {"start-above-an-empty-log", &scenario_store, 101, 20000, 20, false},
    {"removed-segments-come-back", &scenario_store, 343, 20000, 20, false},
    {"flush-counts-a-sync-in-flight", &scenario_store, 317, 20000, 20, false},
    {"watermark-after-recovery", &scenario_node, 1, 20000, 20, false},
    {"successor-in-an-old-folder", &scenario_node, 4, 20000, 20, false},
    {"folder-never-synced", &scenario_node, 6, 20000, 20, false},
    {"delete-records-on-a-full-disk", &scenario_node, 8, 20000, 20, false},
    {"successor-on-another-shard", &scenario_node, 41, 20000, 20, false},
    {"append-behind-a-mark", &scenario_node, 42, 20000, 20, false},
    {"quorum-dies-alone", &scenario_node, 94, 20000, 20, false},
    {"latest-shrinks", &scenario_node, 570, 50000, 20, false},
    {"topic-made-on-a-full-disk", &scenario_node, 749, 50000, 20, false},
    {"empty-folder-in-the-way", &scenario_node, 829, 50000, 20, false},
    {"metadata-segment-without-frames", &scenario_meta, 1795235938, 50000, 20, false},
    {"formatted-once-more", &scenario_meta, 1795250159, 50000, 20, true},
    {"index-rebuilt-in-place", &scenario_store, 40001573, 50000, 20, true},
    {"index-rebuilt-in-place-again", &scenario_store, 60001180, 50000, 20, true},
    {"time-index-rebuilt-in-place", &scenario_store, 71001166, 50000, 20, true},
    {"failed-sync-believed", &scenario_store, 40003272, 50000, 20, true},
    {"segments-lost-behind-a-dropped-point", &scenario_store, 1979, 50000, 20, true},
    {"given-up-with-appends-queued", &scenario_store, 50000357, 50000, 20, true},
    {"snapshot-behind-five-in-flight", &scenario_node, 1795310006, 50000, 20, true},
    {"snapshot-behind-five-more", &scenario_node, 200763, 50000, 20, true},
    {"second-batch-passes-the-refused-first", &scenario_node, 70000993, 50000, 20, true},
    {"second-batch-on-a-healed-disk", &scenario_node, 70001983, 50000, 20, true},
    {"fetch-waits-at-the-end-of-a-segment", &scenario_node, 77000772, 50000, 20, true},
    {"epochs-cut-with-a-start-that-was-lost", &scenario_store, 78000050, 50000, 20, true},
    {"compacted-from-a-start-that-was-lost", &scenario_store, 90000103, 50000, 20, true},
    {"compacted-with-a-flipped-offset", &scenario_store, 92000091, 50000, 20, true},
    {"folder-fails-in-the-middle-of-a-swap", &scenario_store, 20402, 20000, 20, true},
    {"snapshot-of-a-log-that-was-lost", &scenario_store, 40011, 20000, 20, true},
    {"name-of-a-topic-torn", &scenario_node, 76000291, 50000, 20, true},
    {"log-start-raised-in-a-move", &scenario_node, 7400000333, 50000, 20, true},
    {"second-batch-after-a-move", &scenario_node, 7400001302, 50000, 20, true},
    {"transfer-that-cannot-begin", &scenario_quorum, 2, 30000, 20, true},
    {"prepared-over-a-restart", &scenario_quorum, 24, 30000, 20, true},
    {"refused-without-pause", &scenario_quorum, 59, 30000, 20, true},
    {"controller-fenced", &scenario_quorum, 113, 30000, 20, true},
    {"connection-without-echo", &scenario_quorum, 358, 30000, 20, true},
    {"address-heard-while-empty", &scenario_quorum, 7413, 50000, 20, true},
    {"entries-again-with-every-heartbeat", &scenario_quorum, 337, 50000, 20, true},
    {"leader-listed-where-it-is-not", &scenario_quorum, 375, 50000, 20, true},
    {"member-heard-of-on-its-own-connection", &scenario_quorum, 7300073, 50000, 20, true},
    {"point-lost-on-a-full-disk", &scenario_group, 206, 50000, 20, true},
    {"coordinator-without-a-folder", &scenario_group, 17, 50000, 20, true},
    {"stop-with-a-sync-in-flight", &scenario_group, 1418, 50000, 20, true},
    {"workspace-kept-at-a-stop", &scenario_group, 7, 50000, 20, true},
    {"group-changes-for-one-it-refuses", &scenario_group, 20357, 50000, 20, true},
    {"coordinator-given-up-for-one-read", &scenario_group, 30035, 50000, 20, true},
    {"isr-behind-the-watermark", &scenario_cluster, 81, 50000, 20, true},
    {"epoch-over-appends-in-flight", &scenario_cluster, 161, 50000, 20, true},
    {"isr-behind-the-watermark-256", &scenario_cluster, 256, 50000, 20, true},
    {"isr-behind-the-watermark-598", &scenario_cluster, 598, 50000, 20, true},
    {"isr-behind-the-watermark-1200", &scenario_cluster, 1200, 50000, 20, true},
    {"isr-behind-the-watermark-1328", &scenario_cluster, 1328, 50000, 20, true},
    {"joined-for-an-earlier-life", &scenario_cluster, 40031107, 50000, 20, true},
    {"unread-log-never-opened", &scenario_cluster, 75000399, 50000, 20, true},
    {"unread-log-calls-offsets-out-of-range", &scenario_cluster, 90000953, 50000, 20, true},
    {"fenced-for-an-earlier-life", &scenario_cluster, 90001217, 50000, 20, true},
    {"sync-error-heard-in-the-last-turn", &scenario_cluster, 74101182, 50000, 20, true},
    {"lost-branch-read-on-a-follower", &scenario_cluster, 40011073, 50000, 20, true},
    {"lost-branch-read-on-the-old-leader", &scenario_cluster, 40032065, 50000, 20, true},
    {"lost-branch-says-the-latest", &scenario_cluster, 7300745, 50000, 20, true},
    {"lost-branch-after-a-power-cut-of-all", &scenario_cluster, 40030039, 50000, 20, true},
    {"watermark-nobody-covers", &scenario_cluster, 40014185, 50000, 20, true},
    {"lease-without-applying", &scenario_cluster, 40021076, 50000, 20, true},
    {"lease-without-applying-40018042", &scenario_cluster, 40018042, 50000, 20, true},
    {"lease-without-applying-11000588", &scenario_cluster, 11000588, 50000, 20, true},
    {"formed-by-one-whose-power-failed", &scenario_cluster, 1002399, 50000, 20, true},
    {"lease-without-applying-of-a-coordinator", &scenario_cluster, 21000939, 50000, 20, true},
    {"watermark-of-a-stopping-replica", &scenario_cluster, 52000330, 50000, 20, true},
    {"read-of-one-that-died-in-that-turn", &scenario_cluster, 71000489, 50000, 20, true},
    {"acknowledged-after-a-holder-lost-it", &scenario_cluster, 73001140, 50000, 20, true},
    {"watermark-of-the-last-turn-as-leader", &scenario_cluster, 74002237, 50000, 20, true},
    {"watermark-moved-by-a-stop", &scenario_cluster, 70000177, 50000, 20, true},
    {"watermark-moved-by-a-stop-and-read", &scenario_cluster, 70000982, 50000, 20, true},
    {"epoch-begun-on-a-full-disk", &scenario_cluster, 74001954, 50000, 20, true},
    {"offsets-of-one-replica-when-it-goes", &scenario_cluster, 90002235, 50000, 20, true},
    {"new-folder-unknown-to-the-last-voter", &scenario_cluster, 87000034, 50000, 40, true},
    {"deletion-answered-without-the-elr", &scenario_cluster, 75, 50000, 20, true},
    {"log-start-raised-twice", &scenario_cluster, 445, 50000, 20, true},
    {"reset-that-a-crash-interrupted", &scenario_cluster, 1055, 50000, 20, true},
    {"empty-log-never-durable", &scenario_cluster, 540, 50000, 20, true},
    {"agreed-where-nothing-was-left-to-see", &scenario_cluster, 687, 50000, 20, true},
    {"empty-behind-another-log-start", &scenario_cluster, 728, 50000, 20, true},
    {"stop-with-a-change-that-nobody-decides", &scenario_cluster, 77000213, 50000, 20, true},
    {"fetched-in-the-turn-of-its-death", &scenario_cluster, 682, 50000, 20, true},
    {"log-start-told-with-a-cut", &scenario_cluster, 92000633, 50000, 20, true},
    {"cancelled-down-to-one-holder", &scenario_cluster, 50006429, 50000, 20, true},
    {"cut-to-an-epoch-nobody-has", &scenario_cluster, 50008907, 50000, 20, true},
    {"put-aside-and-not-forgotten", &scenario_cluster, 62002061, 50000, 20, true},
    {"snapshot-removed-under-its-successor", &scenario_cluster, 63002913, 50000, 20, true},
    {"new-beginning-noted-and-not-done", &scenario_cluster, 80000333, 50000, 20, true},
    {"lease-given-while-it-is-fenced", &scenario_cluster, 78001549, 50000, 20, true},
    {"assignment-told-to-a-late-heartbeat", &scenario_cluster, 78001071, 50000, 20, true},
    {"stopped-with-a-snapshot-half-written", &scenario_cluster, 72004307, 50000, 20, true},
    {"reset-noted-by-half", &scenario_cluster, 73000142, 50000, 20, true},
    {"epochs-of-a-log-before-its-reset", &scenario_cluster, 70000281, 50000, 20, true},
};

static struct {
    struct sim_options options;
    const struct sim_scenario *scenario;
} current; // for the line a crash prints

static void usage(FILE *to)
{
    fprintf(to, "usage: weir-sim [--scenario NAME] [--seed N] [--seeds COUNT] [--events N] [--faults N]\n"
                "                [--time-budget SECONDS] [--mutation NAME] [--whole-starts] [--no-repeats]\n"
                "                [--replay] [--floors] [--trace]\n"
                "  --seed N         first seed (default: from the clock)\n"
                "  --seeds COUNT    how many, one after the other (default 1)\n"
                "  --events N       events of one seed (default 50000)\n"
                "  --faults N       faults in them (default 20)\n"
                "  --time-budget S  stop after S seconds\n"
                "  --mutation NAME  make the simulator wrong on purpose; a failure is then expected\n"
                "  --whole-starts   no process ends in the middle of its start\n"
                "  --no-repeats     no batch is sent to a log twice\n"
                "  --replay         run every seed twice and compare the traces\n"
                "  --floors         fail when the seeds together reached less than they must\n"
                "  --regressions    run the seeds that once failed\n"
                "  --trace          print every event\n"
                "scenarios:\n");
    for (size_t k = 0; k < sizeof(scenarios) / sizeof(scenarios[0]); k++)
        fprintf(to, "  %-16s %s\n", scenarios[k]->name, scenarios[k]->what);
    fprintf(to, "seeds that once failed, also by --scenario:\n");
    for (size_t k = 0; k < sizeof(regressions) / sizeof(regressions[0]); k++)
        fprintf(to, "  %-32s %s, seed %" PRIu64 "\n", regressions[k].name, regressions[k].scenario->name,
                regressions[k].seed);
    fprintf(to, "mutations:");
    for (int k = 1; k < SIM_MUTATIONS; k++)
        fprintf(to, " %s", sim_mutation_names[k]);
    fprintf(to, "\n");
}

static int replay_line(char *out, size_t n)
{
    const struct sim_options *o = &current.options;
    return snprintf(out, n, "weir-sim --scenario %s --seed %" PRIu64 " --events %" PRIu64 " --faults %" PRIu64 "%s%s%s%s",
                    current.scenario->name, o->seed, o->events, o->faults, o->whole_starts ? " --whole-starts" : "",
                    o->no_repeats ? " --no-repeats" : "",
                    o->mutation ? " --mutation " : "", o->mutation ? sim_mutation_names[o->mutation] : "");
}

// An assertion of the product or of the simulator: the seed is worth as much as the message.
static void on_abort(int signal_number)
{
    char line[256];
    int n = replay_line(line, sizeof(line) - 1);
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, "crashed: ", 9);
    written = write(STDERR_FILENO, line, (size_t)n);
    (void)written;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static bool number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text ? text : "", &end, 0);
    if (!text || !*text || *end || errno)
        return false;
    *out = v;
    return true;
}

struct arguments {
    uint64_t seeds, time_budget_s;
    bool replay, regressions, floors;
};

static void choose_regression(const struct regression *r)
{
    current.scenario = r->scenario;
    current.options.seed = r->seed;
    current.options.events = r->events;
    current.options.faults = r->faults;
    current.options.whole_starts = !r->starts_die;
    current.options.no_repeats = true; // all of them are older
}

static bool name_option(const char *option, const char *value)
{
    if (strcmp(option, "--scenario") == 0) {
        current.scenario = NULL;
        for (size_t k = 0; k < sizeof(scenarios) / sizeof(scenarios[0]); k++)
            if (value && strcmp(scenarios[k]->name, value) == 0)
                current.scenario = scenarios[k];
        for (size_t k = 0; k < sizeof(regressions) / sizeof(regressions[0]); k++)
            if (value && strcmp(regressions[k].name, value) == 0)
                choose_regression(&regressions[k]);
        return current.scenario != NULL;
    }
    for (int k = 0; k < SIM_MUTATIONS && strcmp(option, "--mutation") == 0; k++)
        if (value && strcmp(sim_mutation_names[k], value) == 0) {
            current.options.mutation = (enum sim_mutation)k;
            return true;
        }
    return false;
}

static bool parse(int argc, char **argv, struct arguments *a)
{
    for (int k = 1; k < argc; k++) {
        const char *option = argv[k], *value = k + 1 < argc ? argv[k + 1] : NULL;
        struct {
            const char *name;
            uint64_t *to;
        } numbers[] = {{"--seed", &current.options.seed},
                       {"--seeds", &a->seeds},
                       {"--events", &current.options.events},
                       {"--faults", &current.options.faults},
                       {"--time-budget", &a->time_budget_s}};
        if (strcmp(option, "--trace") == 0) {
            current.options.tracing = true;
            continue;
        }
        if (strcmp(option, "--regressions") == 0) {
            a->regressions = true;
            continue;
        }
        if (strcmp(option, "--floors") == 0) {
            a->floors = true;
            continue;
        }
        if (strcmp(option, "--whole-starts") == 0) {
            current.options.whole_starts = true;
            continue;
        }
        if (strcmp(option, "--no-repeats") == 0) {
            current.options.no_repeats = true;
            continue;
        }
        if (strcmp(option, "--replay") == 0) {
            a->replay = true;
            continue;
        }
        bool known = false;
        for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++)
            if (strcmp(option, numbers[j].name) == 0)
                known = number(value, numbers[j].to);
        if (!known && !name_option(option, value)) {
            fprintf(stderr, "weir-sim: cannot understand %s %s\n", option, value ? value : "");
            return false;
        }
        k++;
    }
    return true;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Returns false when the seed failed.
static bool run_one(const struct arguments *a, struct sim_result *total)
{
    struct sim_result r = {0}, again = {0};
    char line[256];
    current.scenario->run(&current.options, &r);
    if (a->replay)
        current.scenario->run(&current.options, &again);
    replay_line(line, sizeof(line));
    if (a->replay && again.trace_hash != r.trace_hash) {
        printf("seed %" PRIu64 " does not replay: trace %016" PRIx64 ", then %016" PRIx64 "\nreplay: %s\n",
               current.options.seed, r.trace_hash, again.trace_hash, line);
        return false;
    }
    if (r.failed)
        printf("seed %" PRIu64 " failed: %s\ntrace %016" PRIx64 " after %" PRIu64 " events\nreplay: %s\n",
               current.options.seed, r.why, r.trace_hash, r.events, line);
    total->trace_hash = total->trace_hash * 31 + r.trace_hash;
    total->events += r.events;
    total->simulated_ns += r.simulated_ns;
    total->kills += r.kills;
    total->power_cuts += r.power_cuts;
    total->other_faults += r.other_faults;
    total->acked += r.acked;
    total->checks += r.checks;
    for (size_t k = 0; k < SIM_FIGURES; k++) {
        total->figures[k].name = r.figures[k].name;
        total->figures[k].value += r.figures[k].value;
        total->figures[k].floor = r.figures[k].floor;
    }
    return !r.failed;
}

static bool floors_reached(const struct sim_result *total, uint64_t seeds)
{
    bool reached = true;
    for (size_t k = 0; k < SIM_FIGURES && total->figures[k].name; k++) {
        const struct sim_figure *f = &total->figures[k];
        if (f->value * 100 >= f->floor * seeds)
            continue;
        printf("too few %s: %" PRIu64 " in %" PRIu64 " seeds, %" PRIu64 " in 100 are the least\n", f->name, f->value, seeds,
               f->floor);
        reached = false;
    }
    return reached;
}

int main(int argc, char **argv)
{
    struct arguments a = {.seeds = 1};
    current.scenario = scenarios[0];
    current.options = (struct sim_options){.seed = (uint64_t)time(NULL), .events = 50000, .faults = 20};
    for (int k = 1; k < argc; k++)
        if (strcmp(argv[k], "--help") == 0) {
            usage(stdout);
            return 0;
        }
    if (!parse(argc, argv, &a)) {
        usage(stderr);
        return 2;
    }
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    struct sim_result total = {0};
    double start = now_s();
    uint64_t done = 0, failed = 0;
    uint64_t known = sizeof(regressions) / sizeof(regressions[0]);
    for (; done < (a.regressions ? known : a.seeds); done++, current.options.seed++) {
        if (a.regressions)
            choose_regression(&regressions[done]);
        if (a.time_budget_s && now_s() - start >= (double)a.time_budget_s)
            break;
        if (!run_one(&a, &total)) {
            failed++;
            done++;
            break;
        }
    }
    double took = now_s() - start;
    printf("%s: %" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " events, %" PRIu64 " kills, %" PRIu64
           " power cuts, %" PRIu64 " other faults, %" PRIu64 " acknowledged, %" PRIu64 " log checks, %.0f s simulated; "
           "trace %016" PRIx64 "; %.1f s, %.1f seeds/s\n",
           a.regressions ? "regressions" : current.scenario->name, done, failed, total.events, total.kills,
           total.power_cuts, total.other_faults, total.acked, total.checks, (double)total.simulated_ns / 1e9,
           total.trace_hash, took, (double)done / took);
    for (size_t k = 0; k < SIM_FIGURES && !a.regressions && total.figures[k].name; k++)
        printf("%s%s %" PRIu64, k ? ", " : "reached: ", total.figures[k].name, total.figures[k].value);
    if (!a.regressions && total.figures[0].name)
        printf("\n");
    if (a.floors && !failed && !floors_reached(&total, done))
        failed = 1;
    if (current.options.mutation)
        return failed ? 0 : 1; // the mutation had to be caught
    return failed ? 1 : 0;
}
