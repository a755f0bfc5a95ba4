// SPDX-License-Identifier: Apache-2.0
#include "store/prepared.h"

#include <stdio.h>
#include <string.h>

#include "store/folder.h"
#include "store/log_dir_private.h"

enum { TEXT_BYTES_MAX = 65536 };

static enum rc path_in(char out[IO_PATH_BYTES_MAX], const char *folder, const char *name)
{
    int n = snprintf(out, IO_PATH_BYTES_MAX, "%s/%s", folder, name);
    return n > 0 && n < IO_PATH_BYTES_MAX ? RC_OK : RC_INVALID;
}

enum rc prepared_write(struct io *io, const char *folder, const char *cluster_id)
{
    char path[IO_PATH_BYTES_MAX];
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    buf_printf(&text, "cluster.id=%s\n", cluster_id);
    enum rc rc = folder_make(io, folder);
    if (rc == RC_OK || rc == RC_EXISTS)
        rc = folder_sync_entry(io, folder);
    if (rc == RC_OK)
        rc = path_in(path, folder, "weir-prepared.properties");
    if (rc == RC_OK)
        rc = text.failed ? RC_NOMEM : log_dir_write_file(io, path, buf_bytes(&text), true);
    if (rc == RC_OK)
        rc = io_sync_dir_now(io, folder);
    buf_deinit(&text);
    return rc;
}

// The file's text is parsed with what it must hold.
static enum rc read_one(struct io *io, const char *folder, const char *name, struct log_dir_identity *id,
                        bool (*parse)(struct log_dir_identity *, struct bytes))
{
    char path[IO_PATH_BYTES_MAX];
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    enum rc rc = path_in(path, folder, name);
    if (rc == RC_OK)
        rc = log_dir_read_file(io, path, &text);
    if (rc == RC_OK && !parse(id, buf_bytes(&text)))
        rc = RC_CORRUPT;
    buf_deinit(&text);
    return rc;
}

static bool parse_prepared(struct log_dir_identity *id, struct bytes text)
{
    struct bytes cluster;
    if (!log_dir_property_find(text, "cluster.id", &cluster) || cluster.n == 0 || cluster.n >= sizeof(id->cluster_id))
        return false;
    memcpy(id->cluster_id, cluster.p, cluster.n);
    id->cluster_id[cluster.n] = 0;
    return true;
}

enum rc prepared_read(struct io *io, const char *folder, struct log_dir_identity *id)
{
    *id = (struct log_dir_identity){.node_id = NODE_ID_NONE};
    enum rc rc = read_one(io, folder, "meta.properties", id, log_dir_identity_parse);
    return rc == RC_NOT_FOUND ? read_one(io, folder, "weir-prepared.properties", id, parse_prepared) : rc;
}
