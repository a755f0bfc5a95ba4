// SPDX-License-Identifier: Apache-2.0
//
// kafka-metadata-quorum add-controller and remove-controller (KIP-853): a vote more or less. As with Kafka's, the node to
// be added is told by its own property file, and its folder by the meta.properties there.
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/properties.h"
#include "cli/tool_metadata_quorum.h"

enum { CHANGE_TIMEOUT_MS = 30000 };

struct new_voter {
    int32_t id;
    struct uuid directory;
    struct buf endpoints; // "CONTROLLER://host:port,..."
};

// The directory id that meta.properties of the folder says.
static int read_directory(struct cli *cli, const char *folder, struct uuid *out)
{
    enum rc rc = RC_OK;
    const char *path = arena_printf(&cli->arena, "%s/meta.properties", folder);
    const char *text = path ? properties_text(cli, path, &rc) : NULL;
    if (!text)
        return tool_fail(cli, "Unable to read meta.properties from %s", folder);
    static const char key[] = "directory.id=";
    char id[UUID_TEXT_CHARS + 1] = "";
    for (const char *line = text; line && !*id;) {
        if (strncmp(line, key, strlen(key)) == 0)
            snprintf(id, sizeof(id), "%.*s", UUID_TEXT_CHARS, line + strlen(key));
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return uuid_parse(bytes_str(id), out) ? CLI_OK : tool_fail(cli, "No directory id found in %s", folder);
}

// Those of `listeners` that controller.listener.names names.
static void add_endpoints(struct new_voter *v, const char *listeners, const char *names)
{
    for (const char *at = listeners; at && *at;) {
        size_t n = strcspn(at, ","), name = strcspn(at, ":");
        const char *found = names;
        while (found && (strncmp(found, at, name) != 0 || (found[name] != 0 && found[name] != ','))) {
            found = strchr(found, ',');
            found += found != NULL;
        }
        if (found && name < n)
            buf_printf(&v->endpoints, "%s%.*s", v->endpoints.n ? "," : "", (int)n, at);
        at += n + (at[n] == ',');
    }
}

static int read_voter(struct cli *cli, const char *path, struct new_voter *v)
{
    struct cli_list list = {0};
    int64_t id;
    int code = properties_read(cli, path, &list);
    if (code != CLI_OK)
        return code;
    const char *number = properties_find(&list, "node.id");
    const char *folder = properties_find(&list, "metadata.log.dir");
    if (!folder)
        folder = properties_find(&list, "log.dirs");
    if (!number || !cli_number_parse(number, &id))
        return tool_fail(cli, "node.id not found in configuration file. Is this a valid controller configuration file?");
    if (id < 0 || id > INT32_MAX)
        return tool_fail(cli, "node.id was negative in configuration file. Is this a valid controller configuration "
                              "file?");
    if (!folder)
        return tool_fail(cli, "Neither metadata.log.dir nor log.dirs were found. Is this a valid controller "
                              "configuration file?");
    v->id = (int32_t)id;
    const char *first = arena_copy(&cli->arena, folder, strcspn(folder, ","));
    const char *listeners = properties_find(&list, "advertised.listeners");
    add_endpoints(v, listeners ? listeners : properties_find(&list, "listeners"),
                  properties_find(&list, "controller.listener.names"));
    return read_directory(cli, first ? first : folder, &v->directory);
}

static int add(struct cli *cli, const struct quorum_options *o)
{
    struct new_voter v = {0};
    struct add_raft_voter_request in;
    struct add_raft_voter_response out;
    char id[UUID_TEXT_CHARS + 1];
    // The file is the node's: what it says of listeners and folders is no client's property.
    struct tool_common connection = o->tool;
    connection.command_config = NULL;
    if (!o->tool.command_config)
        return tool_fail(cli, "You must supply the configuration file of the controller you are adding when using "
                              "add-controller.");
    buf_init(&v.endpoints, 1 << 16);
    int code = read_voter(cli, o->tool.command_config, &v);
    if (code == CLI_OK && !tool_connect(cli, &tool_metadata_quorum, &connection))
        code = CLI_FAILED;
    add_raft_voter_request_init(&in);
    in.voter_id = v.id;
    in.voter_directory_id = v.directory;
    in.timeout_ms = CHANGE_TIMEOUT_MS;
    add_raft_voter_response_init(&out);
    if (code == CLI_OK && !o->dry_run &&
        !cli_ask(cli, CLIENT_NODE_ANY, &add_raft_voter_request_message, &in, &add_raft_voter_response_message, &out))
        code = CLI_FAILED;
    if (code == CLI_OK && out.error_code)
        code = tool_fail(cli, "%s", tool_error_with(cli, out.error_code, out.error_message));
    uuid_format(v.directory, id);
    if (code == CLI_OK)
        buf_printf(&cli->out, "%s controller %d with directory id %s and endpoints: %.*s\n",
                   o->dry_run ? "DRY RUN of adding" : "Added", v.id, id, (int)v.endpoints.n,
                   v.endpoints.n ? (const char *)v.endpoints.p : "");
    buf_deinit(&v.endpoints);
    return code;
}

static int remove_one(struct cli *cli, const struct quorum_options *o)
{
    struct remove_raft_voter_request in;
    struct remove_raft_voter_response out;
    remove_raft_voter_request_init(&in);
    if (o->id < 0 || o->id > INT32_MAX)
        return tool_fail(cli, "Invalid negative --controller-id: %lld", (long long)o->id);
    if (!o->directory || !uuid_parse(bytes_str(o->directory), &in.voter_directory_id))
        return tool_fail(cli, "Failed to parse --controller-directory-id: %s", o->directory ? o->directory : "null");
    if (!tool_connect(cli, &tool_metadata_quorum, &o->tool))
        return CLI_FAILED;
    in.voter_id = (int32_t)o->id;
    remove_raft_voter_response_init(&out);
    if (!o->dry_run && !cli_ask(cli, CLIENT_NODE_ANY, &remove_raft_voter_request_message, &in,
                                &remove_raft_voter_response_message, &out))
        return CLI_FAILED;
    if (out.error_code)
        return tool_fail(cli, "%s", tool_error_with(cli, out.error_code, out.error_message));
    buf_printf(&cli->out, "%s KRaft controller %lld with directory id %s\n",
               o->dry_run ? "DRY RUN of removing " : "Removed", (long long)o->id, o->directory);
    return CLI_OK;
}

int tool_quorum_change(struct cli *cli, const struct quorum_options *o, bool adds)
{
    int code = adds ? add(cli, o) : remove_one(cli, o);
    return code == CLI_OK ? cli_done(cli) : code;
}
