// SPDX-License-Identifier: Apache-2.0
//
// weir produce: lines, or JSON objects one a line, from files or standard input into a topic.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/produce.h"

enum { READ_BYTES = 256 << 10, LINE_BYTES_MAX = 1 << 30, PROGRESS_NS = 1000 * 1000 * 1000 };

// ------------------------------------------------------------------------------------------------ sending

// Waits for room by letting the shard work.
int produce_record(struct produce *s, const struct producer_record *r)
{
    enum rc rc;
    while ((rc = producer_send(&s->producer, s->topic, r)) == RC_FULL)
        shard_turn(s->cli->shard, -1);
    if (rc == RC_OK)
        return CLI_OK;
    if (rc == RC_RECORD_LIST_TOO_LARGE)
        return cli_fail(s->cli, "line %llu is %zu bytes long; a record may have %u", (unsigned long long)s->line,
                        r->value.n, s->producer.config.record_bytes_max);
    if (rc == RC_INVALID)
        return cli_fail(s->cli, "topic '%s' has partitions 0 to %d", s->topic->topic->name,
                        s->topic->topic->partition_count - 1);
    return cli_fail(s->cli, "%s", rc == RC_CLOSED ? s->cli->client.error : rc_text(rc));
}

// Where text stands in b, or NULL; what an option left out means is `otherwise`.
static const uint8_t *find(struct bytes b, const char *text, const char *otherwise, size_t *n)
{
    const char *wanted = text ? text : otherwise;
    *n = strlen(wanted);
    return memmem(b.p, b.n, wanted, *n);
}

static struct bytes null_if_marked(const struct produce *s, struct bytes b)
{
    const char *marker = s->options->null_marker;
    return marker && bytes_eq(b, bytes_str(marker)) ? bytes_of(NULL, 0) : b;
}

// "a:1,b:2" in front of the tab.
static int take_headers(struct produce *s, struct bytes text, uint32_t *count)
{
    const struct produce_options *o = s->options;
    while (text.n > 0) {
        size_t comma_bytes, colon_bytes;
        const uint8_t *comma = find(text, o->headers_separator, ",", &comma_bytes);
        size_t n = comma ? (size_t)(comma - text.p) : text.n;
        const uint8_t *colon = find(bytes_of(text.p, n), o->headers_key_separator, ":", &colon_bytes);
        if (!colon || *count == PRODUCE_HEADERS_MAX)
            return cli_fail(s->cli, "line %llu: headers are KEY%sVALUE%s..., at most %d of them",
                            (unsigned long long)s->line, o->headers_key_separator ? o->headers_key_separator : ":",
                            o->headers_separator ? o->headers_separator : ",", PRODUCE_HEADERS_MAX);
        size_t key = (size_t)(colon - text.p);
        struct bytes value = bytes_of(colon + colon_bytes, n - key - colon_bytes);
        s->headers[(*count)++] =
            (struct record_header){.key = bytes_of(text.p, key), .value = null_if_marked(s, value)};
        n += comma ? comma_bytes : 0;
        text = bytes_of(text.p + n, text.n - n);
    }
    return CLI_OK;
}

// Takes what stands before a delimiter off the front of *rest. False: it is not in it; said, unless that is no error.
static bool take_front(struct produce *s, struct bytes *rest, const char *delimiter, size_t delimiter_bytes,
                       const char *what, struct bytes *front)
{
    const uint8_t *at = memmem(rest->p, rest->n, delimiter, delimiter_bytes);
    if (!at) {
        if (!s->options->keep_going)
            cli_fail(s->cli, "line %llu has no %s: '%.*s' is not in it", (unsigned long long)s->line, what,
                     (int)delimiter_bytes, delimiter);
        return false;
    }
    size_t n = (size_t)(at - rest->p);
    *front = bytes_of(rest->p, n);
    *rest = bytes_of(at + delimiter_bytes, rest->n - n - delimiter_bytes);
    return true;
}

// [headers TAB] [key DELIMITER] value
static int send_line(struct produce *s, struct bytes line)
{
    const struct produce_options *o = s->options;
    const char *tab = o->headers_delimiter ? o->headers_delimiter : "\t";
    struct bytes front;
    struct producer_record r = {.partition = (int32_t)o->partition,
                                .timestamp = s->timestamp_ms,
                                .headers = s->headers,
                                .header_count = s->fixed_headers,
                                .value = line};
    if (o->headers && take_front(s, &r.value, tab, strlen(tab), "headers", &front)) {
        front = null_if_marked(s, front);
        if (take_headers(s, front, &r.header_count) != CLI_OK)
            return CLI_FAILED;
    } else if (o->headers && !o->keep_going) {
        return CLI_FAILED;
    }
    if (s->key_delimiter.p) {
        if (take_front(s, &r.value, (const char *)s->key_delimiter.p, s->key_delimiter.n, "key", &front))
            r.key = null_if_marked(s, front);
        else if (!o->keep_going)
            return CLI_FAILED;
    }
    r.value = null_if_marked(s, r.value);
    if (o->empty_is_null && r.value.n == 0)
        r.value.p = NULL;
    if (o->empty_is_null && r.key.n == 0)
        r.key.p = NULL;
    return produce_record(s, &r);
}

// Whole lines of the buffer; what is left of a line moves to its beginning. At the end of input the rest is a line too.
static int take_lines(struct produce *s, bool end)
{
    uint8_t *p = s->input, *last = s->input + s->input_bytes;
    int code = CLI_OK;
    while (p < last && code == CLI_OK) {
        uint8_t *delimiter = memchr(p, s->delimiter, (size_t)(last - p));
        if (!delimiter && !end)
            break;
        uint8_t *stop = delimiter ? delimiter : last;
        struct bytes line = bytes_of(p, (size_t)(stop - p));
        s->line++;
        code = s->options->common.json ? produce_json_line(s, line) : send_line(s, line);
        p = stop + (delimiter != NULL);
    }
    s->input_bytes = (size_t)(last - p);
    memmove(s->input, p, s->input_bytes);
    return code;
}

// ------------------------------------------------------------------------------------------------ reading

static bool make_room(struct produce *s)
{
    if (s->input_cap - s->input_bytes >= READ_BYTES)
        return true;
    size_t cap = s->input_cap ? s->input_cap * 2 : 2 * READ_BYTES;
    uint8_t *p = cap <= LINE_BYTES_MAX ? realloc(s->input, cap) : NULL;
    if (!p)
        return false;
    s->input = p;
    s->input_cap = cap;
    return true;
}

static void show_progress(struct produce *s)
{
    uint64_t now = shard_now_ns(s->cli->shard);
    if (s->options->quiet || now < s->progress_ns)
        return;
    if (s->progress_ns)
        fprintf(stderr, "%llu records, %.1f MB sent\n", (unsigned long long)s->producer.records_sent,
                (double)s->producer.bytes_sent / 1e6);
    s->progress_ns = now + (uint64_t)PROGRESS_NS * (s->progress_ns ? 1 : 2);
}

// Lets what was read travel while nothing new comes.
static void wait_for_input(struct produce *s)
{
    for (;;) {
        bool pending = s->producer.pending_batches > 0 || s->producer.buffered_bytes > 0;
        if (io_stdin_wait(s->cli->io, pending ? 0 : -1))
            return;
        shard_turn(s->cli->shard, 2 * 1000 * 1000);
        show_progress(s);
    }
}

static int read_input(struct produce *s, struct io_file *file)
{
    uint64_t at = 0;
    for (;;) {
        size_t got = 0;
        enum rc rc;
        if (!make_room(s))
            return cli_fail(s->cli, "line %llu is too long", (unsigned long long)s->line + 1);
        size_t room = s->input_cap - s->input_bytes;
        if (file) {
            rc = io_file_read_now(file, s->input + s->input_bytes, room, at, &got);
            at += got;
        } else {
            wait_for_input(s);
            rc = io_stdin_read(s->cli->io, s->input + s->input_bytes, room, &got);
        }
        if (rc != RC_OK && rc != RC_EOF)
            return cli_fail(s->cli, "cannot read the input: %s", rc_text(rc));
        bool end = rc == RC_EOF || got == 0;
        s->input_bytes += got;
        if (s->options->timestamp_ms_text == NULL)
            s->timestamp_ms = io_wall_ms(s->cli->io);
        if (take_lines(s, end) != CLI_OK)
            return CLI_FAILED;
        if (end)
            return CLI_OK;
        shard_turn(s->cli->shard, 0);
        show_progress(s);
        if (s->producer.failed)
            return CLI_FAILED;
    }
}

static int read_all(struct produce *s, const char *const *files, uint32_t count)
{
    int code = CLI_OK;
    if (count == 0)
        return read_input(s, NULL);
    for (uint32_t i = 0; i < count && code == CLI_OK; i++) {
        struct io_file file = {0};
        if (strcmp(files[i], "-") == 0) {
            code = read_input(s, NULL);
            continue;
        }
        enum rc rc = io_file_open(s->cli->io, &file, files[i], IO_OPEN_READ, IO_FILE_OTHER);
        if (rc != RC_OK)
            return cli_fail(s->cli, "%s: %s", files[i], rc_text(rc));
        code = read_input(s, &file);
        io_file_close(&file);
    }
    return code;
}

// ------------------------------------------------------------------------------------------------ the command

static int check_options(struct cli *cli, struct produce *s)
{
    const struct produce_options *o = s->options;
    s->delimiter = '\n';
    if (o->delimiter) {
        struct bytes delimiter = cli_unescape(o->delimiter, &cli->arena);
        if (delimiter.n != 1)
            return cli_wrong(cli, "--delimiter wants one character, \\t or \\0.");
        s->delimiter = (char)delimiter.p[0];
    }
    if (o->key_delimiter) {
        s->key_delimiter = cli_unescape(o->key_delimiter, &cli->arena);
        if (s->key_delimiter.n == 0)
            return cli_wrong(cli, "--key-delimiter must not be empty.");
    }
    if (o->timestamp_ms_text && !cli_time_parse(o->timestamp_ms_text, &s->timestamp_ms))
        return cli_wrong(cli, "--timestamp wants milliseconds or a time such as 2026-11-21T10:00:00Z, not '%s'.",
                         o->timestamp_ms_text);
    if (o->idempotent && o->acks != PRODUCE_ACKS_ALL)
        return cli_wrong(cli, "--idempotent needs --acks all.");
    for (uint32_t i = 0; i < o->header.count; i++) {
        const char *equals = strchr(o->header.items[i], '=');
        if (!equals || i == PRODUCE_HEADERS_MAX)
            return cli_wrong(cli, "--header wants KEY=VALUE, at most %d of them.", PRODUCE_HEADERS_MAX);
        s->headers[i] = (struct record_header){
            .key = bytes_of(o->header.items[i], (size_t)(equals - o->header.items[i])), .value = bytes_str(equals + 1)};
    }
    s->fixed_headers = o->header.count;
    return CLI_OK;
}

static int open_producer(struct produce *s, const char *name)
{
    static const int16_t acks[] = {-1, 1, 0};
    const struct produce_options *o = s->options;
    struct cli *cli = s->cli;
    struct producer_config config = producer_config_default();
    config.codec = (enum codec)o->codec;
    if (o->level_given != INT64_MIN)
        config.level = (int)o->level_given;
    config.acks = acks[o->acks];
    config.idempotent = o->acks == PRODUCE_ACKS_ALL && !o->not_idempotent;
    config.linger_ms = (uint32_t)o->linger_ms;
    config.batch_bytes = (uint32_t)o->batch_bytes;
    if (config.memory_bytes < 4 * (size_t)config.batch_bytes)
        config.memory_bytes = 4 * (size_t)config.batch_bytes;
    if (config.request_bytes < config.batch_bytes)
        config.request_bytes = config.batch_bytes;
    if (config.record_bytes_max < config.batch_bytes)
        config.record_bytes_max = config.batch_bytes;
    struct client_topic *t = client_topic(&cli->client, name);
    if (!t)
        return cli_fail(cli, "topic name '%s' is too long", name);
    if (client_topic_wait(&cli->client, t, !o->no_create) != RC_OK)
        return cli_fail(cli, "%s", cli->client.error);
    enum rc rc = producer_init(&s->producer, &cli->client, &config);
    s->open = true;
    if (rc == RC_UNSUPPORTED_VERSION && !o->idempotent) { // an old broker: do without
        producer_deinit(&s->producer);
        config.idempotent = false;
        rc = producer_init(&s->producer, &cli->client, &config);
    }
    if (rc != RC_OK)
        return cli_fail(cli, "%s", cli->client.error);
    s->topic = producer_topic_open(&s->producer, t);
    return s->topic ? CLI_OK : cli_fail(cli, "out of memory");
}

static void summary(struct produce *s)
{
    double seconds = (double)(io_clock_ns(s->cli->io) - s->started_ns) / 1e9;
    const struct producer *p = &s->producer;
    if (!s->options->quiet)
        fprintf(stderr, "sent %llu records, %.1f MB in %.2f s%s\n", (unsigned long long)p->records_sent,
                (double)p->bytes_sent / 1e6, seconds, p->retries ? ", after retries" : "");
}

int produce_run(struct cli *cli, const struct produce_options *options, const char *topic, const char *const *files,
                uint32_t file_count)
{
    struct produce s = {.cli = cli, .options = options};
    int code = check_options(cli, &s);
    if (code != CLI_OK)
        return code;
    if (!cli_connect(cli, &s.options->common))
        return CLI_FAILED;
    s.started_ns = io_clock_ns(cli->io);
    code = open_producer(&s, topic);
    if (code == CLI_OK)
        code = read_all(&s, files, file_count);
    if (s.topic) {
        bool sent = producer_flush(&s.producer) == RC_OK;
        summary(&s);
        if (!sent)
            code = cli_fail(cli, "%llu records were not written: %s", (unsigned long long)s.producer.records_failed,
                            cli->client.error);
    }
    if (s.open)
        producer_deinit(&s.producer);
    produce_json_deinit(&s);
    free(s.input);
    return code;
}

int cli_produce(struct cli *cli, const struct cli_parsed *parsed)
{
    return produce_run(cli, parsed->options, parsed->arguments[0], parsed->arguments + 1, parsed->argument_count - 1);
}

#define PLACE(member) offsetof(struct produce_options, member)

const struct cli_option cli_produce_options[] = {
    {.name = "key-delimiter",
     .letter = 'K',
     .kind = CLI_TEXT,
     .offset = PLACE(key_delimiter),
     .value_name = "TEXT",
     .help = "the key stands before this text in each line"},
    {.name = "header",
     .letter = 'H',
     .kind = CLI_LIST,
     .offset = PLACE(header),
     .value_name = "KEY=VALUE",
     .help = "a header for every record; may be given many times"},
    {.name = "headers",
     .kind = CLI_FLAG,
     .offset = PLACE(headers),
     .help = "each line begins with its headers, KEY:VALUE,KEY:VALUE, and a tab"},
    {.name = "partition",
     .letter = 'p',
     .kind = CLI_NUMBER,
     .offset = PLACE(partition),
     .value_name = "N",
     .initial = -1,
     .least = 0,
     .bounded = true,
     .help = "into this partition; default: by the key, else evenly"},
    {.name = "timestamp",
     .kind = CLI_TEXT,
     .offset = PLACE(timestamp_ms_text),
     .value_name = "MS|TIME",
     .help = "for every record; default: now"},
    {.name = "codec",
     .letter = 'z',
     .kind = CLI_CHOICE,
     .offset = PLACE(codec),
     .choices = PRODUCE_CODECS,
     .help = "compression (default none)"},
    {.name = "level",
     .kind = CLI_NUMBER,
     .offset = PLACE(level_given),
     .value_name = "N",
     .initial = INT64_MIN,
     .help = "of the compression; default: the codec's own"},
    {.name = "acks",
     .letter = 'a',
     .kind = CLI_CHOICE,
     .offset = PLACE(acks),
     .choices = "all|1|0",
     .help = "who must have a batch before it counts as sent (default all)"},
    {.name = "idempotent",
     .kind = CLI_FLAG,
     .offset = PLACE(idempotent),
     .help = "fail when the broker cannot drop duplicates; with acks all they are dropped wherever it can"},
    {.name = "not-idempotent", .kind = CLI_FLAG, .offset = PLACE(not_idempotent), .help = "a retry may write twice"},
    {.name = "linger",
     .kind = CLI_DURATION,
     .offset = PLACE(linger_ms),
     .value_name = "TIME",
     .initial = 5,
     .help = "how long a batch waits to fill (default 5ms)"},
    {.name = "batch-bytes",
     .kind = CLI_SIZE,
     .offset = PLACE(batch_bytes),
     .value_name = "SIZE",
     .initial = 128 << 10,
     .least = 256,
     .bounded = true,
     .help = "size of a batch before compression (default 128k)"},
    {.name = "delimiter",
     .letter = 'D',
     .kind = CLI_TEXT,
     .offset = PLACE(delimiter),
     .value_name = "CHAR",
     .help = "ends a record; default: a line end; \\0 for a zero byte"},
    {.name = "empty-is-null",
     .letter = 'Z',
     .kind = CLI_FLAG,
     .offset = PLACE(empty_is_null),
     .help = "an empty value or key is null: on compacted topics this deletes the key"},
    {.name = "no-create",
     .kind = CLI_FLAG,
     .offset = PLACE(no_create),
     .help = "do not let the broker create a missing topic"},
    {.name = "json", .kind = CLI_FLAG, .offset = PLACE(common.json), .help = "each line is a JSON object, see above"},
    {.name = "quiet", .letter = 'q', .kind = CLI_FLAG, .offset = PLACE(quiet), .help = "no summary"},
    {0},
};
