// SPDX-License-Identifier: Apache-2.0
//
// What the partition log costs: appends by size, random lookups, recovery, and many partitions at rest. Arguments:
// a folder for the data (default: a temporary one, removed at the end) and --partitions N. Figures are for one thread
// with a warm page cache; CPU time is the process's own, user and system.
#include "store/log.h"
#include "store/trash.h"
#include "wire/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct bench {
    struct io *io;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct store store;
    char path[256];
    struct plog *logs;
    unsigned log_count;
    uint64_t start_ns, start_cpu_us;
};

static void die(const char *what, enum rc rc)
{
    fprintf(stderr, "%s: %s\n", what, rc_text(rc));
    exit(1);
}

static uint64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double rss_mib(void)
{
    long pages = 0, total;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

static void begin(struct bench *b)
{
    b->start_ns = io_clock_ns(b->io);
    b->start_cpu_us = cpu_us();
}

static void end(struct bench *b, const char *what, double count, double bytes)
{
    double wall = (double)(io_clock_ns(b->io) - b->start_ns) / 1e9, cpu = (double)(cpu_us() - b->start_cpu_us) / 1e6;
    printf("%-44s %9.3f s", what, wall);
    if (count > 0)
        printf("  %8.2f us each", wall / count * 1e6);
    if (bytes > 0)
        printf("  %6.2f GB/s  %5.2f CPU-s/GB", bytes / wall / 1e9, cpu / bytes * 1e9);
    printf("\n");
}

static void open_all(struct bench *b, unsigned partitions, const struct plog_config *config, bool recover)
{
    char why[512];
    struct store_config sc = STORE_CONFIG_DEFAULT;
    const struct io_config ic = {.engine = IO_ENGINE_AUTO};
    enum rc rc = io_create(&b->io, &ic);
    if (rc)
        die("io", rc);
    sc.files_max = (uint32_t)(io_files_limit(b->io) * 3 / 4);
    begin(b);
    if ((rc = log_dir_open(&b->dir, b->io, NULL, b->path, why, sizeof(why))))
        die(why, rc);
    if (!b->dir.identity.formatted && (rc = log_dir_format(&b->dir, "bench", 1, log_dir_draw_id(&b->dir))))
        die("format", rc);
    if ((rc = log_dir_start(&b->dir)))
        die("start", rc);
    b->dirs[0] = &b->dir;
    if ((rc = store_init(&b->store, b->io, NULL, &sc, b->dirs, 1)))
        die("store", rc);
    b->logs = calloc(partitions, sizeof(*b->logs));
    b->log_count = partitions;
    for (unsigned i = 0; i < partitions; i++) {
        struct topic_partition id = {.topic_id = {.b = {1, 2, 3}}, .partition = (int32_t)i};
        if ((rc = plog_attach(&b->logs[i], &b->store, &b->dir, bytes_str("bench"), id, config,
                              log_dir_find(&b->dir, id))))
            die("attach", rc);
    }
    unsigned unclean = 0;
    for (unsigned i = 0; recover && i < partitions; i++) {
        if (b->logs[i].state != PLOG_UNCLEAN)
            continue;
        unclean++;
        while ((rc = plog_recover_step(&b->logs[i], 1000000, NULL)) == RC_AGAIN) {
        }
        if (rc)
            die("recover", rc);
    }
    char text[80];
    snprintf(text, sizeof(text), "open %u logs, %u recovered, %.1f MiB scanned", partitions, unclean,
             (double)b->store.counters.recovered_bytes / 1048576.0);
    end(b, text, partitions, (double)b->store.counters.recovered_bytes);
}

static void stopped(struct log_dir_op *op, enum rc rc)
{
    op->rc = rc;
    op->record.type = 1;
}

static void wait_idle(struct bench *b)
{
    for (;;) {
        uint64_t next;
        bool busy = store_work(&b->store, 1000000, &next) || !log_dir_is_idle(&b->dir) || b->store.checkpoints > 0 ||
                    trash_is_busy(b->store.trash);
        for (unsigned i = 0; !busy && i < b->log_count; i++)
            busy = !plog_is_idle(&b->logs[i]);
        if (!busy)
            return;
        io_poll(b->io, 100000);
    }
}

static void close_all(struct bench *b, bool clean)
{
    begin(b);
    wait_idle(b);
    for (unsigned i = 0; i < b->log_count; i++) {
        if (clean)
            plog_rest(&b->logs[i]);
        plog_detach(&b->logs[i]);
    }
    if (clean) {
        struct log_dir_op stop = {.request = LOG_DIR_STOP, .done = stopped};
        log_dir_submit(&b->dir, &stop);
        while (stop.record.type != 1)
            io_poll(b->io, 1000000);
    }
    unsigned count = b->log_count;
    b->log_count = 0; // detached
    wait_idle(b);
    end(b, clean ? "clean stop" : "stop as if killed", count, 0);
    store_deinit(&b->store);
    log_dir_close(&b->dir);
    io_destroy(b->io);
    free(b->logs);
}

static unsigned in_flight;

static void appended(struct plog_append *op, enum rc rc)
{
    (void)op;
    if (rc)
        die("append", rc);
    in_flight--;
}

enum { GATHER = 16 };

static struct plog_append ops[GATHER];

static size_t make_batch(uint8_t *out, size_t value_bytes, int64_t producer_id, int32_t sequence)
{
    struct batch_builder builder;
    struct batch_options options = batch_options_default();
    struct buf encoded;
    uint8_t *value = calloc(1, value_bytes);
    options.producer_id = producer_id;
    options.producer_epoch = producer_id >= 0 ? 0 : -1;
    options.base_sequence = producer_id >= 0 ? sequence : -1;
    batch_builder_init(&builder, &options, value_bytes + 1000);
    buf_init(&encoded, value_bytes + 1000);
    if (batch_builder_add(&builder, 1, (struct bytes){0}, bytes_of(value, value_bytes), NULL, 0) ||
        batch_builder_finish(&builder, &encoded))
        die("batch", RC_INVALID);
    memcpy(out, encoded.p, encoded.n);
    size_t n = encoded.n;
    buf_deinit(&encoded);
    batch_builder_deinit(&builder);
    free(value);
    return n;
}

static void bench_append(struct bench *b, struct plog *l, size_t value_bytes, unsigned gather, uint64_t total)
{
    static uint8_t batch[GATHER][1 << 20];
    char text[80];
    size_t n = 0;
    for (unsigned i = 0; i < gather; i++)
        n = make_batch(batch[i], value_bytes, -1, 0);
    uint64_t count = total / n;
    begin(b);
    for (uint64_t done = 0; done < count; done += gather) {
        for (unsigned i = 0; i < gather; i++) {
            ops[i] = (struct plog_append){.batch = batch[i], .bytes = n, .done = appended};
            enum rc rc = plog_append(l, &ops[i]);
            if (rc)
                die("append", rc);
            in_flight++;
        }
        plog_flush(l);
        uint64_t next;
        store_work(&b->store, 500000, &next);
        io_poll(b->io, 0);
        while (in_flight)
            io_poll(b->io, 1000000);
    }
    snprintf(text, sizeof(text), "append %zu B, %u a write", n, gather);
    end(b, text, (double)count, (double)(count * n));
}

static void bench_lookup(struct bench *b, struct plog *l)
{
    struct prng prng;
    prng_init(&prng, 1);
    unsigned count = 100000;
    begin(b);
    for (unsigned i = 0; i < count; i++) {
        struct plog_slice slice;
        struct plog_read read = {.offset = (int64_t)prng_below(&prng, (uint64_t)plog_written_end(l)),
                                 .bound = INT64_MAX,
                                 .bytes_max = 1 << 20,
                                 .at_least_one = true};
        enum rc rc = plog_read(l, &read, &slice, NULL);
        if (rc)
            die("read", rc);
        plog_slice_release(&slice);
    }
    end(b, "find a random offset and 1 MiB from it", count, 0);
    uint64_t reads = 0, index = b->store.counters.index_reads, header = b->store.counters.header_reads;
    begin(b);
    for (struct plog_read read = {.bound = INT64_MAX, .bytes_max = 1 << 20, .at_least_one = true};
         read.offset < plog_written_end(l); reads++) {
        struct plog_slice slice;
        enum rc rc = plog_read(l, &read, &slice, NULL);
        if (rc)
            die("read", rc);
        read.offset = slice.next_offset;
        plog_slice_release(&slice);
    }
    end(b, "find 1 MiB after 1 MiB", (double)reads, 0);
    printf("    index blocks read per fetch %.2f, header reads %.2f\n",
           (double)(b->store.counters.index_reads - index) / (double)reads,
           (double)(b->store.counters.header_reads - header) / (double)reads);
}

// One batch of an idempotent producer in each log, then more spread over all.
static void bench_many(struct bench *b, unsigned partitions)
{
    static uint8_t batch[4096];
    struct plog_config config = PLOG_CONFIG_DEFAULT;
    double before = rss_mib();
    open_all(b, partitions, &config, true);
    printf("    resident %.1f MiB (%.1f before)\n", rss_mib(), before);
    unsigned more = partitions * 10;
    begin(b);
    for (unsigned i = 0; i < partitions + more; i++) {
        if (i == partitions) {
            end(b, "first append to each", partitions, 0);
            printf("    resident %.1f MiB\n", rss_mib());
            begin(b);
        }
        struct plog *l = &b->logs[(uint64_t)i * 7919 % partitions];
        size_t n = make_batch(batch, 100, 1000 + (int64_t)((uint64_t)i * 7919 % partitions), (int32_t)(i / partitions));
        ops[0] = (struct plog_append){.batch = batch, .bytes = n, .done = appended};
        enum rc rc = plog_append(l, &ops[0]);
        if (rc)
            die("append", rc);
        in_flight++;
        plog_flush(l);
        while (in_flight)
            io_poll(b->io, 1000000);
    }
    end(b, "appends spread over all", more, 0);
    printf("    resident %.1f MiB, %u files open\n", rss_mib(), b->store.files.count);
    close_all(b, false);
    open_all(b, partitions, &config, true);
    printf("    resident %.1f MiB, %u files open\n", rss_mib(), b->store.files.count);
    begin(b);
    for (unsigned i = 0; i < partitions; i++)
        plog_rest(&b->logs[i]);
    end(b, "to rest", partitions, 0);
    printf("    resident %.1f MiB at rest, %u files open\n", rss_mib(), b->store.files.count);
    close_all(b, true);
    open_all(b, partitions, &config, true);
    printf("    resident %.1f MiB\n", rss_mib());
    close_all(b, false);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    unsigned partitions = 10000;
    const char *at = "/tmp";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--partitions") == 0 && i + 1 < argc)
            partitions = (unsigned)atoi(argv[++i]);
        else
            at = argv[i];
    }
    snprintf(b.path, sizeof(b.path), "%s/weir-store-bench-XXXXXX", at);
    if (!mkdtemp(b.path))
        die(b.path, RC_IO);
    struct plog_config config = PLOG_CONFIG_DEFAULT;
    open_all(&b, 1, &config, false);
    printf("io engine %s\n", io_engine_name(b.io));
    bench_append(&b, &b.logs[0], 900, 1, 64u << 20);
    bench_append(&b, &b.logs[0], 900, 16, 128u << 20);
    bench_append(&b, &b.logs[0], 16000, 16, 256u << 20);
    bench_append(&b, &b.logs[0], 65000, 16, 512u << 20);
    bench_lookup(&b, &b.logs[0]);
    close_all(&b, false);
    open_all(&b, 1, &config, true);
    close_all(&b, true);
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", b.path);
    if (system(command) || mkdir(b.path, 0755))
        return 1;
    bench_many(&b, partitions);
    return system(command) ? 1 : 0;
}
