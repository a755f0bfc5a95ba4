// SPDX-License-Identifier: Apache-2.0
//
// kafka-storage: random-uuid, format, info. A node of weir formats its folders itself when it starts; format only notes
// in them the id the cluster is to have (store/prepared.h), so that scripts which prepare a node run on unchanged.
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/properties.h"
#include "cli/tool.h"
#include "store/prepared.h"

enum { FOLDERS_MAX = 64 };

struct storage_options {
    const char *config, *cluster_id, *initial, *release;
    struct cli_list scram, features;
    bool ignore_formatted, standalone, no_initial;
};

static const struct cli_option options[] = {
    {.name = "config",
     .letter = 'c',
     .kind = CLI_TEXT,
     .offset = offsetof(struct storage_options, config),
     .value_name = "FILE",
     .help = "the properties of the node"},
    {.name = "cluster-id",
     .letter = 't',
     .kind = CLI_TEXT,
     .offset = offsetof(struct storage_options, cluster_id),
     .value_name = "ID",
     .help = "of format: the id the cluster is to have"},
    {.name = "ignore-formatted",
     .letter = 'g',
     .kind = CLI_FLAG,
     .offset = offsetof(struct storage_options, ignore_formatted),
     .help = "of format: leave alone what is formatted, instead of failing"},
    {.name = "standalone",
     .letter = 's',
     .kind = CLI_FLAG,
     .offset = offsetof(struct storage_options, standalone),
     .help = "of format: a cluster that begins with this node alone"},
    {.name = "no-initial-controllers",
     .letter = 'N',
     .kind = CLI_FLAG,
     .offset = offsetof(struct storage_options, no_initial),
     .help = "of format: a node that joins a cluster (controller.quorum.voters names it)"},
    {.name = "initial-controllers",
     .letter = 'I',
     .kind = CLI_TEXT,
     .offset = offsetof(struct storage_options, initial),
     .value_name = "ID@HOST:PORT:DIR,...",
     .help = "not here: name the nodes in controller.quorum.voters"},
    {.name = "release-version",
     .letter = 'r',
     .kind = CLI_TEXT,
     .offset = offsetof(struct storage_options, release),
     .value_name = "VERSION",
     .help = "not here: kafka-features lowers a level of a running cluster"},
    {.name = "feature",
     .letter = 'f',
     .kind = CLI_LIST,
     .offset = offsetof(struct storage_options, features),
     .value_name = "NAME=LEVEL",
     .help = "likewise"},
    {.name = "add-scram",
     .letter = 'S',
     .kind = CLI_LIST,
     .offset = offsetof(struct storage_options, scram),
     .value_name = "TEXT",
     .help = "not here: there is no SASL yet"},
    {0},
};

struct folders {
    const char *paths[FOLDERS_MAX]; // the metadata's first
    unsigned count;
    struct cli_list properties;
};

static bool add_folder(struct folders *f, const char *path)
{
    for (unsigned i = 0; i < f->count; i++)
        if (strcmp(f->paths[i], path) == 0)
            return true;
    if (f->count == FOLDERS_MAX)
        return false;
    f->paths[f->count++] = path;
    return true;
}

// The folders that the node's properties name.
static int read_folders(struct cli *cli, const char *config, struct folders *f)
{
    int code = properties_read(cli, config, &f->properties);
    if (code != CLI_OK)
        return code;
    const char *metadata = properties_find(&f->properties, "metadata.log.dir");
    const char *list = properties_find(&f->properties, "log.dirs");
    if (!list)
        list = properties_find(&f->properties, "log.dir");
    if (!list)
        list = "/tmp/kafka-logs";
    bool fit = !metadata || !*metadata || add_folder(f, metadata);
    while (fit && *list) {
        size_t n = strcspn(list, ","), from = strspn(list, " \t"), to = n;
        while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t'))
            to--;
        const char *path = to > from ? arena_copy(&cli->arena, list + from, to - from) : NULL;
        fit = !path || add_folder(f, path);
        list += n + (list[n] == ',');
    }
    return fit && f->count ? CLI_OK : tool_fail(cli, "log.dirs of %s names no folder, or too many.", config);
}

static int random_uuid(struct cli *cli)
{
    struct uuid id;
    char text[UUID_TEXT_CHARS + 1];
    do {
        io_random(cli->io, id.b, sizeof(id.b));
        id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x40); // version 4
        id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
        uuid_format(id, text);
    } while (text[0] == '-');
    buf_printf(&cli->out, "%s\n", text);
    return CLI_OK;
}

static int info(struct cli *cli, const struct folders *f)
{
    struct log_dir_identity first = {0};
    char problems[4096] = "", directory[UUID_TEXT_CHARS + 1];
    size_t used = 0;
    for (unsigned i = 0; i < f->count && used < sizeof(problems); i++) {
        struct log_dir_identity id;
        enum rc rc = prepared_read(cli->io, f->paths[i], &id);
        const char *what = rc == RC_OK        ? NULL
                           : rc == RC_CORRUPT ? "has a damaged meta.properties"
                                              : "is not formatted.";
        struct io_file self = {0};
        if (rc == RC_NOT_FOUND) {
            if (io_file_open(cli->io, &self, f->paths[i], IO_OPEN_READ | IO_OPEN_DIRECTORY, IO_FILE_OTHER) != RC_OK)
                what = "does not exist";
            else
                io_file_close(&self);
        }
        if (rc == RC_OK && first.cluster_id[0] && strcmp(first.cluster_id, id.cluster_id) != 0)
            what = "belongs to another cluster than the one before it";
        if (what)
            used += (size_t)snprintf(problems + used, sizeof(problems) - used, "  %s %s\n", f->paths[i], what);
        else if (!first.cluster_id[0])
            first = id;
    }
    if (first.cluster_id[0]) {
        buf_printf(&cli->out, "Found log director%s:\n", f->count == 1 ? "y" : "ies");
        for (unsigned i = 0; i < f->count; i++)
            buf_printf(&cli->out, "  %s\n", f->paths[i]);
        uuid_format(first.directory_id, directory);
        if (first.formatted)
            buf_printf(&cli->out, "\nFound metadata: {cluster.id=%s, directory.id=%s, node.id=%d, version=1}\n\n",
                       first.cluster_id, directory, first.node_id);
        else // the node draws its directory id when it starts
            buf_printf(&cli->out, "\nFound metadata: {cluster.id=%s, version=1}\n\n", first.cluster_id);
    }
    if (used)
        buf_printf(&cli->out, "Found problem%s:\n%s\n", strchr(problems, '\n')[1] ? "s" : "", problems);
    return used ? TOOL_WRONG : CLI_OK;
}

static int format(struct cli *cli, const struct storage_options *o, const struct folders *f)
{
    struct uuid id;
    bool fresh[FOLDERS_MAX] = {false};
    unsigned count = 0;
    if (!uuid_parse(bytes_str(o->cluster_id), &id) || strlen(o->cluster_id) != UUID_TEXT_CHARS)
        return tool_fail(cli,
                         "Cluster ID string %s does not appear to be a valid UUID (random-uuid prints one).",
                         o->cluster_id);
    for (unsigned i = 0; i < f->count; i++) {
        struct log_dir_identity was;
        enum rc rc = prepared_read(cli->io, f->paths[i], &was);
        fresh[i] = rc == RC_NOT_FOUND;
        count += fresh[i];
        if (rc != RC_OK && rc != RC_NOT_FOUND)
            return tool_fail(cli, "Cannot read what formatted %s: %s", f->paths[i], rc_text(rc));
        if (rc == RC_OK && !o->ignore_formatted)
            return tool_fail(cli,
                             "Log directory %s is already formatted. Use --ignore-formatted to ignore this directory "
                             "and format the others.",
                             f->paths[i]);
        if (rc == RC_OK && strcmp(was.cluster_id, o->cluster_id) != 0)
            return tool_fail(cli, "Invalid cluster.id in: %s. Expected %s, but read %s", f->paths[i], o->cluster_id,
                             was.cluster_id);
    }
    if (!count)
        buf_printf(&cli->out, "All of the log directories are already formatted.\n");
    for (unsigned i = 0; i < f->count; i++) {
        if (!fresh[i])
            continue;
        buf_printf(&cli->out, "Formatting %s directory %s.\n", i == 0 ? "metadata" : "data", f->paths[i]);
        enum rc rc = prepared_write(cli->io, f->paths[i], o->cluster_id);
        if (rc != RC_OK)
            return tool_fail(cli, "Cannot format %s: %s", f->paths[i], rc_text(rc));
    }
    return CLI_OK;
}

// What Kafka's tool would have a node begin with and a node of weir does not: said, not passed over.
static int check_format(struct cli *cli, const struct storage_options *o, const struct folders *f)
{
    const char *voters = properties_find(&f->properties, "controller.quorum.voters");
    bool named = voters && *voters;
    if (!o->cluster_id)
        return tool_wrong(cli, &tool_storage, "kafka-storage: error: argument --cluster-id/-t is required");
    if (o->standalone + o->no_initial + (o->initial != NULL) > 1)
        return tool_wrong(cli, &tool_storage,
                          "kafka-storage: error: argument --initial-controllers/-I: not allowed with argument "
                          "--standalone/-s, nor either with --no-initial-controllers/-N");
    if (o->initial)
        return tool_fail(cli, "--initial-controllers: a node of weir finds the others by their addresses and forms the "
                              "cluster with them: name all in controller.quorum.voters=ID@HOST:PORT,... instead.");
    if (o->scram.count)
        return tool_fail(cli, "--add-scram: there is no SASL in this version; no credential was stored.");
    if (o->standalone && named)
        return tool_fail(cli, "You cannot specify --standalone if controller.quorum.voters is set.");
    if (!named && o->no_initial)
        return tool_fail(cli, "--no-initial-controllers: a node that joins a cluster finds it by "
                              "controller.quorum.voters=ID@HOST:PORT,..., which is not set.");
    if (!named && !o->standalone)
        return tool_fail(cli, "Because controller.quorum.voters is not set on this controller, you must specify one of "
                              "the following: --standalone, --initial-controllers, or --no-initial-controllers.");
    if (o->release || o->features.count)
        cli_fail(cli, "note: a new cluster begins at the newest level of every feature; kafka-features lowers it");
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct storage_options *o = parsed->options;
    const char *verb = parsed->arguments[0];
    struct folders f = {0};
    bool is_format = strcmp(verb, "format") == 0;
    if (strcmp(verb, "random-uuid") != 0 && strcmp(verb, "info") != 0 && !is_format)
        return tool_wrong(cli, &tool_storage,
                          "kafka-storage: error: invalid choice: '%s' (choose from 'info', 'format', 'random-uuid')",
                          verb);
    int code = CLI_OK;
    if (*verb != 'r' && !o->config)
        return tool_wrong(cli, &tool_storage, "kafka-storage: error: argument --config/-c is required");
    if (*verb != 'r')
        code = read_folders(cli, o->config, &f);
    if (code == CLI_OK && is_format)
        code = check_format(cli, o, &f);
    if (code == CLI_OK && !cli_io(cli))
        code = CLI_FAILED;
    if (code == CLI_OK)
        code = *verb == 'r' ? random_uuid(cli) : is_format ? format(cli, o, &f) : info(cli, &f);
    int flushed = cli_done(cli);
    return code == CLI_OK ? flushed : code;
}

const struct cli_command tool_storage = {.name = "kafka-storage",
                                         .arguments = "info|format|random-uuid",
                                         .summary = "The Kafka storage tool.",
                                         .options = options,
                                         .options_bytes = sizeof(struct storage_options),
                                         .arguments_min = 1,
                                         .arguments_max = 1,
                                         .run = run};
