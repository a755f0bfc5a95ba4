// SPDX-License-Identifier: Apache-2.0
//
// What every command has at hand: one shard, a client once it asks for one, an arena that lives as long as the process,
// and a buffer for what goes to standard output. Exit codes: 0 done, 1 failed, 2 the command line is wrong.
#pragma once

#include "cli/json.h"
#include "cli/options.h"
#include "cli/table.h"
#include "client/client.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_WRONG = 2 };

typedef int (*cli_server_fn)(int argc, char **argv);

struct cli {
    cli_server_fn server;
    struct arena arena;
    struct buf out;   // for standard output; cli_flush() writes it
    const char *path; // "weir admin topics list", for messages
    const char *line; // the arguments as they were given, of Kafka's tools
    // from cli_io() and cli_connect() on
    struct io *io;
    struct shard_group group;
    struct shard *shard;
    struct client client;
    bool client_open;
};

// Options of every command that talks to a broker; the first member of its options struct.
struct cli_common {
    const char *bootstrap; // NULL: WEIR_BOOTSTRAP, then 127.0.0.1:9092
    int64_t timeout_ms;
    bool json;
};

extern const struct cli_option cli_common_options[]; // offsets of struct cli_common at 0

// Runs the command line; server is the node, called for `weir server` with "server" as argv[0].
int cli_main(int argc, char **argv, cli_server_fn server);
extern const struct cli_command cli_root; // the table of all commands

// The version of this program: what `git describe` said when it was built.
const char *cli_version(void);

// Makes io and shard. False after a message.
bool cli_io(struct cli *cli);
// Takes down what cli_io() made, for commands that hand the process to a server. No client is open.
void cli_io_close(struct cli *cli);
// cli_io() and the connection to the cluster. False after a message.
bool cli_connect(struct cli *cli, const struct cli_common *common);
// cli_connect() for commands that have something to say without a broker too: NULL, or why none answers, without a
// message. The text lives as long as cli->client is not used again.
const char *cli_connect_or_why(struct cli *cli, const struct cli_common *common);
// Another client on the same shard, for commands that want several connections. False after a message.
bool cli_connect_more(struct cli *cli, const struct cli_common *common, struct client *client);

// Asks a broker and waits; the answer lives in cli->arena. False after a message.
bool cli_ask(struct cli *cli, int32_t node_id, const struct schema_message *request, const void *in,
             const struct schema_message *answer, void *out);

// Messages to standard error, "weir ...: text", and the exit code to return.
int cli_fail(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_wrong(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A Kafka error code about something ("topic 'x'"), with the broker's own words if it gave any.
int cli_fail_code(struct cli *cli, const char *about, int16_t code, struct bytes message);

// Writes out what was gathered. False when standard output is gone.
bool cli_flush(struct cli *cli);
// The exit code of a command that ends well: flushes, and fails if that does.
int cli_done(struct cli *cli);
// Zeroed memory for the rest of the process; ends it when there is none.
void *cli_alloc(struct cli *cli, size_t count, size_t size);
