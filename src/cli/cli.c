// SPDX-License-Identifier: Apache-2.0
//
// Entry, messages and connections of the command line.
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/program.h"
#include "cli/tool.h"
#include "model/kerr.h"

enum { CLI_ARENA_BYTES_MAX = 1 << 30 };

const struct cli_option cli_common_options[] = {
    {.name = "bootstrap-server",
     .letter = 'b',
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_common, bootstrap),
     .value_name = "HOST:PORT[,...]",
     .help = "brokers to ask first; default: $WEIR_BOOTSTRAP, then 127.0.0.1:9092"},
    {.name = "timeout",
     .kind = CLI_DURATION,
     .offset = offsetof(struct cli_common, timeout_ms),
     .value_name = "TIME",
     .initial = 30000,
     .least = 1,
     .bounded = true,
     .help = "longest wait for an answer (default 30s)"},
    {.name = "json",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_common, json),
     .help = "JSON instead of tables, for scripts"},
    {0},
};

const char *cli_version(void)
{
    return program_version();
}

// ------------------------------------------------------------------------------------------------ messages

static void say(struct cli *cli, const char *format, va_list args)
{
    fprintf(stderr, "%s: ", cli->path);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int cli_fail(struct cli *cli, const char *format, ...)
{
    va_list args;
    cli_flush(cli);
    va_start(args, format);
    say(cli, format, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_wrong(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(cli, format, args);
    va_end(args);
    fprintf(stderr, "Try '%s --help'.\n", cli->path);
    return CLI_WRONG;
}

int cli_fail_code(struct cli *cli, const char *about, int16_t code, struct bytes message)
{
    if (message.n)
        return cli_fail(cli, "%s: %.*s (%s)", about, (int)message.n, (const char *)message.p, kerr_name(code));
    return cli_fail(cli, "%s: %s", about, kerr_name(code));
}

bool cli_flush(struct cli *cli)
{
    bool good = true;
    if (cli->out.n)
        good = fwrite(cli->out.p, 1, cli->out.n, stdout) == cli->out.n;
    cli->out.n = 0;
    return fflush(stdout) == 0 && good;
}

int cli_done(struct cli *cli)
{
    if (cli->out.failed)
        return cli_fail(cli, "out of memory");
    if (!cli_flush(cli))
        return cli_fail(cli, "cannot write to standard output");
    return CLI_OK;
}

void *cli_alloc(struct cli *cli, size_t count, size_t size)
{
    void *p = arena_array(&cli->arena, count, size);
    if (!p) {
        cli_fail(cli, "out of memory");
        exit(CLI_FAILED);
    }
    return p;
}

// ------------------------------------------------------------------------------------------------ connections

static void print_line(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    (void)sink;
    (void)level;
    fprintf(stderr, "weir: %.*s\n", (int)n, line);
}

bool cli_io(struct cli *cli)
{
    static struct trace_sink sink = {.level_min = TRACE_ERROR, .write = print_line};
    struct io_config config = {.engine = IO_ENGINE_AUTO, .trace = &sink};
    if (cli->io)
        return true;
    enum rc rc = io_create(&cli->io, &config);
    if (rc == RC_OK)
        rc = shard_group_create(&cli->group, &cli->io, 1, 16, &sink);
    if (rc != RC_OK) {
        cli_fail(cli, "cannot set up input and output: %s", rc_text(rc));
        return false;
    }
    cli->shard = &cli->group.shards[0];
    return true;
}

void cli_io_close(struct cli *cli)
{
    if (cli->shard)
        shard_group_destroy(&cli->group);
    if (cli->io)
        io_destroy(cli->io);
    cli->shard = NULL;
    cli->io = NULL;
}

static enum rc connect_client(struct cli *cli, const struct cli_common *common, struct client *client)
{
    const char *bootstrap = common->bootstrap;
    if (!bootstrap || !*bootstrap)
        bootstrap = getenv("WEIR_BOOTSTRAP");
    if (!bootstrap || !*bootstrap)
        bootstrap = "127.0.0.1:9092";
    struct client_config config = {.bootstrap = bootstrap,
                                   .client_id = "weir",
                                   .software_version = cli_version(),
                                   .timeout_ms =
                                       common->timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)common->timeout_ms};
    enum rc rc = client_init(client, cli->shard, &config);
    return rc == RC_OK ? client_connect(client) : rc;
}

bool cli_connect_more(struct cli *cli, const struct cli_common *common, struct client *client)
{
    enum rc rc = connect_client(cli, common, client);
    if (rc != RC_OK)
        cli_fail(cli, "%s", client->error[0] ? client->error : rc_text(rc));
    return rc == RC_OK;
}

bool cli_connect(struct cli *cli, const struct cli_common *common)
{
    if (!cli_io(cli))
        return false;
    cli->client_open = true;
    return cli_connect_more(cli, common, &cli->client);
}

const char *cli_connect_or_why(struct cli *cli, const struct cli_common *common)
{
    if (!cli_io(cli))
        return "input and output could not be set up";
    cli->client_open = true;
    enum rc rc = connect_client(cli, common, &cli->client);
    if (rc == RC_OK)
        return NULL;
    return cli->client.error[0] ? cli->client.error : rc_text(rc);
}

bool cli_ask(struct cli *cli, int32_t node_id, const struct schema_message *request, const void *in,
             const struct schema_message *answer, void *out)
{
    struct client_call call = {
        .node_id = node_id, .request = request, .answer = answer, .in = in, .out = out, .arena = &cli->arena};
    if (client_call(&cli->client, &call) == RC_OK)
        return true;
    cli_fail(cli, "%s", cli->client.error);
    return false;
}

// ------------------------------------------------------------------------------------------------ entry

static void close_all(struct cli *cli)
{
    if (cli->client_open)
        client_deinit(&cli->client);
    cli_io_close(cli);
    buf_deinit(&cli->out);
    arena_deinit(&cli->arena);
}

int cli_main(int argc, char **argv, cli_server_fn server)
{
    struct cli cli = {.server = server, .path = "weir"};
    struct cli_parsed parsed;
    struct buf message;
    int code;
    arena_init(&cli.arena, CLI_ARENA_BYTES_MAX, NULL, 0);
    buf_init(&cli.out, CLI_ARENA_BYTES_MAX);
    buf_init(&message, 1 << 20);
    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        printf("weir %s\n", cli_version());
        close_all(&cli);
        return CLI_OK;
    }
    const struct cli_command *tool = argc > 0 ? tool_find(argv[0]) : NULL;
    if (tool) {
        code = tool_main(&cli, tool, argc, argv);
        close_all(&cli);
        return code;
    }
    enum cli_outcome outcome = cli_parse(&cli_root, argc, argv, &cli.arena, &parsed, &message);
    cli.path = parsed.path;
    if (outcome == CLI_RUN) {
        code = parsed.command->run(&cli, &parsed);
    } else {
        fwrite(message.p, 1, message.n, outcome == CLI_HELP ? stdout : stderr);
        code = outcome == CLI_HELP ? CLI_OK : CLI_WRONG;
    }
    buf_deinit(&message);
    close_all(&cli);
    return code;
}
