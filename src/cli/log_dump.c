// SPDX-License-Identifier: Apache-2.0
//
// weir admin log dump: finds the files, reads them through a window, and lets log_dump_batches.c and
// log_dump_indexes.c print them.
#include "cli/log_dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/commands.h"
#include "model/limits.h"
#include "wire/codec.h"

enum { DUMP_WINDOW_BYTES = 1 << 20 };

struct dump_options {
    bool json, records, indexes;
};

const uint8_t *log_dump_bytes(struct log_dump *d, uint64_t at, size_t n)
{
    if (at > d->file_bytes || n > d->file_bytes - at)
        return NULL;
    if (at >= d->window_at && at - d->window_at <= d->window_bytes && n <= d->window_bytes - (at - d->window_at))
        return d->window + (at - d->window_at);
    size_t want = n > DUMP_WINDOW_BYTES ? n : DUMP_WINDOW_BYTES;
    if (want > d->window_cap) {
        uint8_t *p = realloc(d->window, want);
        if (!p)
            return NULL;
        d->window = p;
        d->window_cap = want;
    }
    d->window_at = at;
    d->window_bytes = 0;
    if (io_file_read_now(&d->file, d->window, want, at, &d->window_bytes) != RC_OK)
        d->window_bytes = 0;
    return d->window_bytes >= n ? d->window : NULL;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

// The twenty digits of "00000000000000000042.log".
static int64_t base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    int64_t v = 0;
    if (strspn(name, "0123456789") != 20)
        return -1;
    for (int i = 0; i < 20; i++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, name[i] - '0', &v))
            return -1;
    return v;
}

enum rc log_dump_file(struct log_dump *d, const char *path, bool announce)
{
    enum rc rc = io_file_open(d->cli->io, &d->file, path, IO_OPEN_READ, IO_FILE_OTHER);
    if (rc == RC_OK)
        rc = io_file_size(&d->file, &d->file_bytes);
    if (rc != RC_OK) {
        cli_fail(d->cli, "%s: %s", path, rc_text(rc));
        if (io_file_is_open(&d->file))
            io_file_close(&d->file);
        return rc;
    }
    if (d->bytes_max && d->bytes_max < d->file_bytes)
        d->file_bytes = d->bytes_max;
    d->name = path;
    d->segment_base = base_of(path);
    d->window_bytes = 0;
    if (announce && !d->json)
        buf_printf(&d->cli->out, "%s (%llu bytes)\n", path, (unsigned long long)d->file_bytes);
    if (ends_with(path, ".timeindex"))
        rc = log_dump_time_index(d);
    else if (ends_with(path, ".index"))
        rc = log_dump_index(d);
    else if (ends_with(path, ".snapshot"))
        rc = log_dump_snapshot(d);
    else
        rc = log_dump_batches(d);
    io_file_close(&d->file);
    return rc;
}

// ------------------------------------------------------------------------------------------------ folders

struct names {
    struct cli *cli;
    bool indexes;
    const char **items;
    uint32_t count, cap;
};

static void on_name(void *context, const char *name, bool is_dir)
{
    struct names *n = context;
    bool wanted = ends_with(name, ".log") || (n->indexes && (ends_with(name, "index") || ends_with(name, ".snapshot")));
    if (is_dir || !wanted || ends_with(name, ".txnindex"))
        return;
    if (n->count == n->cap) {
        uint32_t cap = n->cap ? n->cap * 2 : 32;
        const char **items = cli_alloc(n->cli, cap, sizeof(*items));
        if (n->count)
            memcpy(items, n->items, n->count * sizeof(*items));
        n->items = items;
        n->cap = cap;
    }
    n->items[n->count++] = arena_copy(&n->cli->arena, name, strlen(name));
}

// A folder's files in order, or the one file that path is.
static enum rc dump_path(struct log_dump *d, const char *path, bool announce)
{
    struct names names = {.cli = d->cli, .indexes = d->indexes};
    struct io_file folder = {0};
    enum rc result = RC_OK;
    enum rc rc = io_file_open(d->cli->io, &folder, path, IO_OPEN_READ | IO_OPEN_DIRECTORY, IO_FILE_OTHER);
    if (rc != RC_OK)
        return log_dump_file(d, path, announce);
    io_file_close(&folder);
    rc = io_list_dir(d->cli->io, path, on_name, &names);
    if (rc != RC_OK || names.count == 0) {
        cli_fail(d->cli, "%s: %s", path, rc != RC_OK ? rc_text(rc) : "no log files in this folder");
        return RC_NOT_FOUND;
    }
    const char *slash = ends_with(path, "/") ? "" : "/";
    for (uint32_t i = 0; i < names.count; i++) {
        const char *file = names.items[i] ? arena_printf(&d->cli->arena, "%s%s%s", path, slash, names.items[i]) : NULL;
        rc = file ? log_dump_file(d, file, true) : RC_NOMEM;
        result = rc != RC_OK ? rc : result;
    }
    return result;
}

bool log_dump_init(struct log_dump *d)
{
    if (!cli_io(d->cli))
        return false;
    buf_init(&d->inflated, INFLATE_BYTES_MAX);
    d->workspace = malloc(CODEC_WORKSPACE_BYTES); // pages nobody touches cost nothing
    if (!d->workspace)
        cli_fail(d->cli, "out of memory");
    return d->workspace != NULL;
}

void log_dump_deinit(struct log_dump *d)
{
    buf_deinit(&d->inflated);
    free(d->workspace);
    free(d->window);
}

int admin_log_dump(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct dump_options *o = parsed->options;
    struct log_dump d = {.cli = cli, .json = o->json, .records = o->records, .indexes = o->indexes};
    int code = CLI_OK;
    if (!log_dump_init(&d))
        return CLI_FAILED;
    for (uint32_t i = 0; i < parsed->argument_count; i++)
        if (dump_path(&d, parsed->arguments[i], parsed->argument_count > 1) != RC_OK)
            code = CLI_FAILED;
    log_dump_deinit(&d);
    int done = cli_done(cli);
    return code == CLI_OK ? done : code;
}

#define PLACE(member) offsetof(struct dump_options, member)

static const struct cli_option dump_options[] = {
    {.name = "records", .letter = 'r', .kind = CLI_FLAG, .offset = PLACE(records), .help = "every record too"},
    {.name = "indexes",
     .letter = 'i',
     .kind = CLI_FLAG,
     .offset = PLACE(indexes),
     .help = "of a folder the .index, .timeindex and .snapshot files too"},
    {.name = "json",
     .kind = CLI_FLAG,
     .offset = PLACE(json),
     .help = "one JSON object a line; its 'type' is batch, record, index, time_index or producer"},
    {0},
};

const struct cli_command admin_log_commands[] = {
    {.name = "dump",
     .arguments = "FILE|FOLDER...",
     .summary = "Print the batches of log files: offsets, count, codec, producer, timestamps, checksum.",
     .details = "Works on .log, .index, .timeindex and producer .snapshot files, of weir and of Kafka, while a broker "
                "runs or not. Exit code 1 when something is damaged; everything that can be read is printed.",
     .options = dump_options,
     .options_bytes = sizeof(struct dump_options),
     .arguments_min = 1,
     .arguments_max = 255,
     .run = admin_log_dump,
     .examples = "weir admin log dump /var/lib/weir/orders-0\n"
                 "weir admin log dump --records 00000000000000000000.log\n"
                 "weir admin log dump --json /var/lib/weir/orders-0 | jq -r .codec | sort | uniq -c"},
    {0},
};
