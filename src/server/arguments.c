// SPDX-License-Identifier: Apache-2.0
//
// Flags of `weir server`; see arguments.h.
#include "server/arguments.h"

#include <stdio.h>
#include <stdlib.h>

const char arguments_help[] =
    "usage: weir server [FILE] [options]\n"
    "\n"
    "Starts one node. With nothing at all it is a working broker on 127.0.0.1:9092 that keeps its data in ./weir-data\n"
    "(or $STATE_DIRECTORY). FILE is a properties file with Kafka's names; WEIR_* variables override it\n"
    "(WEIR_LOG_SEGMENT_BYTES is log.segment.bytes), flags override both.\n"
    "\n"
    "  --id N                  number of this node (node.id), default 1\n"
    "  --data DIR              where data is kept (log.dirs), made if it is not there\n"
    "  --listen HOST:PORT      address for clients (listeners), default 127.0.0.1:9092\n"
    "  --advertise HOST:PORT   address clients are told to use (advertised.listeners); needed with --listen 0.0.0.0:PORT\n"
    "  --peers ID@HOST:PORT,.. the nodes of the cluster, this one too: where to look for them, and where to listen\n"
    "  --shards N              event loops (shards), default one per core less one\n"
    "  --memory SIZE           bound on the process's memory (memory), for example 512MiB\n"
    "  --set KEY=VALUE         any setting; may be given many times\n"
    "  --check                 read and check the configuration, say what is wrong, and exit\n"
    "  --help                  this text\n"
    "\n"
    "examples:\n"
    "  weir server\n"
    "  weir server --data /var/lib/weir --listen 0.0.0.0:9092 --advertise broker1.example.net:9092\n"
    "  weir server --id 1 --peers 1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093 --data /var/lib/weir\n"
    "  weir server server.properties --set log.retention.hours=24\n"
    "  weir server --check server.properties\n";

struct flag {
    const char *name;
    const char *key;    // the setting it is, or NULL
    const char *prefix; // before the value
};

static const struct flag flags[] = {
    {"--id", "node.id", ""},
    {"--data", "log.dirs", ""},
    {"--listen", "listeners", "PLAINTEXT://"},
    {"--advertise", "advertised.listeners", "PLAINTEXT://"},
    {"--peers", NULL, ""},
    {"--shards", "shards", ""},
    {"--memory", "memory", ""},
    {"--set", NULL, ""},
};

// The flag at argv[*i] and its value, given as --name VALUE or --name=VALUE; moves *i. NULL: it is none.
static const struct flag *flag_at(int argc, char **argv, int *i, const char **value)
{
    for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++) {
        size_t n = strlen(flags[k].name);
        if (strncmp(argv[*i], flags[k].name, n) != 0 || (argv[*i][n] && argv[*i][n] != '='))
            continue;
        if (argv[*i][n] == '=')
            *value = argv[*i] + n + 1;
        else
            *value = *i + 1 < argc ? argv[++*i] : NULL;
        return &flags[k];
    }
    return NULL;
}

bool arguments_scan(struct arguments *a, int argc, char **argv, char *message, size_t message_bytes)
{
    *a = (struct arguments){0};
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const char *argument = argv[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            a->help = true;
        } else if (strcmp(argument, "--check") == 0) {
            a->check = true;
        } else if (argument[0] != '-') {
            if (a->file) {
                snprintf(message, message_bytes, "two configuration files: '%s' and '%s'", a->file, argument);
                return false;
            }
            a->file = argument;
        } else if (!flag_at(argc, argv, &i, &value)) {
            snprintf(message, message_bytes, "unknown option '%s'; weir server --help lists them", argument);
            return false;
        } else if (!value) {
            snprintf(message, message_bytes, "%s needs a value", argument);
            return false;
        }
    }
    return true;
}

static void arguments_set(struct settings *s, const char *pair)
{
    const char *equals = strchr(pair, '=');
    char name[256];
    if (!equals || (size_t)(equals - pair) >= sizeof(name) || equals == pair) {
        settings_problem(s, "--set %s: expected KEY=VALUE", pair);
        return;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(equals - pair), pair);
    settings_set(s, "--set", name, equals + 1);
}

void arguments_apply(struct arguments *a, struct settings *s, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const struct flag *f = flag_at(argc, argv, &i, &value);
        if (!f || !value)
            continue;
        char text[1024];
        snprintf(text, sizeof(text), "%s%s", strstr(value, "://") ? "" : f->prefix, value);
        if (f->key)
            settings_set(s, f->name, f->key, text);
        else if (strcmp(f->name, "--set") == 0)
            arguments_set(s, value);
        else
            a->peers = value;
    }
}
