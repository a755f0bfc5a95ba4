// SPDX-License-Identifier: Apache-2.0
#include "cli/properties.h"

#include <stdio.h>
#include <string.h>

enum { PROPERTIES_BYTES_MAX = 1 << 20 };

// Settings that mean nothing to a program that is over in a moment, or that weir does by itself.
static const char *const harmless[] = {"bootstrap.servers",
                                       "client.id",
                                       "key.serializer",
                                       "value.serializer",
                                       "key.deserializer",
                                       "value.deserializer",
                                       "request.timeout.ms",
                                       "default.api.timeout.ms",
                                       "retries",
                                       "retry.backoff.ms",
                                       "retry.backoff.max.ms",
                                       "security.protocol",
                                       "client.dns.lookup",
                                       "metadata.max.age.ms",
                                       "reconnect.backoff.ms",
                                       "reconnect.backoff.max.ms",
                                       "socket.connection.setup.timeout.ms",
                                       "connections.max.idle.ms",
                                       "receive.buffer.bytes",
                                       "send.buffer.bytes",
                                       NULL};

static bool is_harmless(const char *key, size_t n)
{
    for (const char *const *h = harmless; *h; h++)
        if (strlen(*h) == n && memcmp(*h, key, n) == 0)
            return true;
    return false;
}

int properties_check_one(struct cli *cli, const char *pair)
{
    const char *equals = strchr(pair, '=');
    size_t n = equals ? (size_t)(equals - pair) : strlen(pair);
    if (!equals)
        return cli_fail(cli, "'%s' is not a property; write key=value", pair);
    if (n == 17 && memcmp(pair, "security.protocol", n) == 0 && strcmp(equals + 1, "PLAINTEXT") != 0)
        return cli_fail(cli, "security.protocol=%s: only PLAINTEXT connections can be made", equals + 1);
    if ((n >= 5 && memcmp(pair, "sasl.", 5) == 0) || (n >= 4 && memcmp(pair, "ssl.", 4) == 0))
        return cli_fail(cli, "%.*s: only PLAINTEXT connections can be made", (int)n, pair);
    if (!is_harmless(pair, n))
        fprintf(stderr, "%s: %.*s has no effect here\n", cli->path, (int)n, pair);
    return CLI_OK;
}

char *properties_text(struct cli *cli, const char *path, enum rc *why)
{
    struct io_file file = {0};
    uint64_t bytes = 0;
    size_t got = 0;
    enum rc rc = cli_io(cli) ? io_file_open(cli->io, &file, path, IO_OPEN_READ, IO_FILE_OTHER) : RC_IO;
    if (rc == RC_OK)
        rc = io_file_size(&file, &bytes);
    if (rc == RC_OK && bytes > PROPERTIES_BYTES_MAX)
        rc = RC_FULL;
    char *text = rc == RC_OK ? cli_alloc(cli, bytes + 1, 1) : NULL;
    if (rc == RC_OK)
        rc = io_file_read_now(&file, text, bytes, 0, &got);
    if (io_file_is_open(&file))
        io_file_close(&file);
    *why = rc == RC_EOF ? RC_OK : rc;
    return *why == RC_OK ? text : NULL;
}

// "key = value" or "key: value" without the spaces around; NULL for nothing.
static char *trim(char *line)
{
    line += strspn(line, " \t\f");
    line[strcspn(line, "\r\n")] = 0;
    if (!*line || *line == '#' || *line == '!')
        return NULL;
    size_t key = strcspn(line, " \t=:");
    char *value = line + key + strspn(line + key, " \t");
    if (*value == '=' || *value == ':')
        value++;
    value += strspn(value, " \t");
    memmove(line + key + 1, value, strlen(value) + 1);
    line[key] = '=';
    return line;
}

int properties_read(struct cli *cli, const char *path, struct cli_list *list)
{
    enum rc rc;
    char *rest = properties_text(cli, path, &rc), *line;
    if (!rest)
        return cli_fail(cli, "%s: %s", path, rc_text(rc));
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *padded = arena_printf(&cli->arena, "%s  ", line); // room for the '=' a line may lack
        char *pair = padded ? trim(padded) : NULL;
        if (!pair)
            continue;
        for (size_t n = strlen(pair); n > 0 && pair[n - 1] == ' '; n--)
            pair[n - 1] = 0;
        const char **items = cli_alloc(cli, (size_t)list->count + 1, sizeof(*items));
        if (list->count)
            memcpy(items, list->items, list->count * sizeof(*items));
        items[list->count++] = pair;
        list->items = items;
    }
    return CLI_OK;
}

int properties_check(struct cli *cli, const char *path)
{
    struct cli_list list = {0};
    int code = properties_read(cli, path, &list);
    for (uint32_t i = 0; i < list.count && code == CLI_OK; i++)
        code = properties_check_one(cli, list.items[i]);
    return code;
}

const char *properties_find(const struct cli_list *list, const char *key)
{
    size_t n = strlen(key);
    for (uint32_t i = list->count; i-- > 0;)
        if (strncmp(list->items[i], key, n) == 0 && list->items[i][n] == '=')
            return list->items[i] + n + 1;
    return NULL;
}
