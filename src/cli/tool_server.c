// SPDX-License-Identifier: Apache-2.0
//
// kafka-server-start and kafka-server-stop: weir server in the words of those scripts. A server that was started so has
// a file of its own in $LOG_DIR, else ./logs, that is named after its process; stop asks all of these to end.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/tool.h"

#define PID_PREFIX "kafka-server-"
#define PID_SUFFIX ".pid"

static const char *log_folder(void)
{
    const char *folder = getenv("LOG_DIR");
    return folder && *folder ? folder : "logs";
}

// ------------------------------------------------------------------------------------------------ start

struct start_options {
    struct cli_list overrides;
    bool daemon;
};

static const struct cli_option start_options[] = {
    TOOL_FLAG(struct start_options, "daemon", daemon, "go on in the background; output goes to $LOG_DIR/server.log"),
    TOOL_LIST(struct start_options, "override", overrides, "KEY=VALUE", "a setting in place of the file's; many times"),
    {0},
};

static const char *pid_path(struct cli *cli, int64_t pid)
{
    return arena_printf(&cli->arena, "%s/" PID_PREFIX "%lld" PID_SUFFIX, log_folder(), (long long)pid);
}

static bool make_folder(struct cli *cli)
{
    if (!cli_io(cli))
        return false;
    enum rc rc = io_make_dir(cli->io, log_folder());
    cli_io_close(cli);
    if (rc != RC_OK && rc != RC_EXISTS)
        cli_fail(cli, "%s: %s", log_folder(), rc_text(rc));
    return rc == RC_OK || rc == RC_EXISTS;
}

static bool write_pid(struct cli *cli, int64_t pid)
{
    struct io_file file = {0};
    char text[32];
    const char *path = pid_path(cli, pid);
    int n = snprintf(text, sizeof(text), "%lld\n", (long long)pid);
    if (!path || !cli_io(cli))
        return false;
    enum rc rc = io_file_open(cli->io, &file, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, IO_FILE_OTHER);
    if (rc == RC_OK)
        rc = io_file_write_now(&file, text, (size_t)n, 0);
    if (io_file_is_open(&file))
        io_file_close(&file);
    cli_io_close(cli);
    if (rc != RC_OK)
        cli_fail(cli, "%s: %s", path, rc_text(rc));
    return rc == RC_OK;
}

// The node, until it ends; its file goes with it.
static int serve(struct cli *cli, const struct start_options *o, const char *file)
{
    int argc = 0;
    char **argv = cli_alloc(cli, (size_t)o->overrides.count * 2 + 3, sizeof(*argv));
    argv[argc++] = "server";
    argv[argc++] = arena_copy(&cli->arena, file, strlen(file));
    for (uint32_t i = 0; i < o->overrides.count; i++) {
        argv[argc++] = "--set";
        argv[argc++] = arena_copy(&cli->arena, o->overrides.items[i], strlen(o->overrides.items[i]));
    }
    for (int i = 0; i < argc; i++)
        if (!argv[i])
            return cli_fail(cli, "out of memory");
    int code = cli->server(argc, argv);
    const char *path = pid_path(cli, io_process_id());
    if (path && cli_io(cli))
        io_remove_now(cli->io, path);
    return code;
}

static int start(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct start_options *o = parsed->options;
    int64_t pid = 0;
    for (uint32_t i = 0; i < o->overrides.count; i++)
        if (!strchr(o->overrides.items[i], '='))
            return tool_wrong(cli, &tool_server_start, "--override wants KEY=VALUE, not '%s'.", o->overrides.items[i]);
    if (!make_folder(cli))
        return CLI_FAILED;
    if (o->daemon) {
        const char *log = arena_printf(&cli->arena, "%s/server.log", log_folder());
        enum rc rc = log ? io_daemon(log, &pid) : RC_NOMEM;
        if (rc != RC_OK)
            return cli_fail(cli, "cannot go on in the background: %s", rc_text(rc));
        if (pid > 0)
            return CLI_OK;
    }
    return write_pid(cli, io_process_id()) ? serve(cli, o, parsed->arguments[0]) : CLI_FAILED;
}

const struct cli_command tool_server_start = {
    .name = "kafka-server-start",
    .arguments = "[-daemon] server.properties [--override property=value]*",
    .summary = "Runs a node with the settings of a file.",
    .options = start_options,
    .options_bytes = sizeof(struct start_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = start,
};

// ------------------------------------------------------------------------------------------------ stop

struct stopping {
    struct cli *cli;
    uint32_t asked;
    enum rc failed; // RC_OK while every signal went out
};

static void stop_one(void *context, const char *name, bool is_dir)
{
    struct stopping *s = context;
    char digits[24];
    int64_t pid;
    size_t n = strlen(name), around = strlen(PID_PREFIX) + strlen(PID_SUFFIX);
    if (is_dir || n <= around || n - around >= sizeof(digits) || strncmp(name, PID_PREFIX, strlen(PID_PREFIX)) != 0 ||
        strcmp(name + n - strlen(PID_SUFFIX), PID_SUFFIX) != 0)
        return;
    snprintf(digits, sizeof(digits), "%.*s", (int)(n - around), name + strlen(PID_PREFIX));
    if (!cli_number_parse(digits, &pid))
        return;
    enum rc rc = io_process_end(pid, tool_server_start.name);
    const char *path = pid_path(s->cli, pid);
    if (rc == RC_OK)
        s->asked++;
    else if (rc == RC_NOT_FOUND && path)
        io_remove_now(s->cli->io, path); // its server did not end well
    else
        s->failed = rc;
}

static int stop(struct cli *cli, const struct cli_parsed *parsed)
{
    struct stopping s = {.cli = cli};
    (void)parsed;
    if (!cli_io(cli))
        return CLI_FAILED;
    io_list_dir(cli->io, log_folder(), stop_one, &s); // no folder: no server either
    if (s.failed != RC_OK)
        return cli_fail(cli, "cannot stop a server: %s", rc_text(s.failed));
    if (s.asked == 0)
        buf_printf(&cli->out, "No kafka server to stop\n");
    int done = cli_done(cli);
    return s.asked ? done : CLI_FAILED;
}

const struct cli_command tool_server_stop = {
    .name = "kafka-server-stop",
    .summary = "Asks the servers that kafka-server-start began to end: those with a file in $LOG_DIR, else ./logs.",
    .run = stop,
};
