// SPDX-License-Identifier: Apache-2.0
//
// The small text files of a log folder: meta.properties, which says whose it is, and the checkpoints in Kafka's text
// form that a clean stop leaves for tools.
#include "base/assert.h"
#include "store/folder.h"
#include "store/future.h"
#include "store/log_dir_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDENTITY_BYTES_MAX = 65536 };

enum rc log_dir_path(const struct log_dir *d, char out[IO_PATH_BYTES_MAX], const char *name)
{
    int n = snprintf(out, IO_PATH_BYTES_MAX, "%s/%s", d->path, name);
    return n > 0 && n < IO_PATH_BYTES_MAX ? RC_OK : RC_INVALID;
}

enum rc log_dir_write_fresh(struct io *io, const char *path, struct bytes content, bool durable)
{
    struct io_file f;
    enum rc rc = io_file_open(io, &f, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, IO_FILE_OTHER);
    if (rc)
        return rc;
    if (content.n)
        rc = io_file_write_now(&f, content.p, content.n, 0);
    if (rc == RC_OK && durable)
        rc = io_file_sync_now(&f);
    io_file_close(&f);
    return rc;
}

enum rc log_dir_write_file(struct io *io, const char *path, struct bytes content, bool durable)
{
    char beside[IO_PATH_BYTES_MAX];
    if (snprintf(beside, sizeof(beside), "%s.tmp", path) >= (int)sizeof(beside))
        return RC_INVALID;
    enum rc rc = log_dir_write_fresh(io, beside, content, durable);
    return rc ? rc : io_rename(io, beside, path);
}

enum rc log_dir_read_file(struct io *io, const char *path, struct buf *out)
{
    struct io_file f;
    enum rc rc = io_file_open(io, &f, path, IO_OPEN_READ, IO_FILE_OTHER);
    if (rc)
        return rc;
    uint64_t size;
    size_t got = 0;
    rc = io_file_size(&f, &size);
    if (rc == RC_OK && size > out->size_max - out->n)
        rc = RC_FULL;
    if (rc == RC_OK && size) {
        uint8_t *p = buf_extend(out, (size_t)size);
        rc = p ? io_file_read_now(&f, p, (size_t)size, 0, &got) : RC_NOMEM;
        if (rc == RC_OK && got < size)
            out->n -= (size_t)size - got;
    }
    io_file_close(&f);
    return rc;
}

bool log_dir_property_find(struct bytes text, const char *key, struct bytes *value)
{
    size_t key_bytes = strlen(key);
    while (text.n) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        size_t line = n && text.p[n - 1] == '\r' ? n - 1 : n;
        if (line > key_bytes && memcmp(text.p, key, key_bytes) == 0 && text.p[key_bytes] == '=') {
            *value = bytes_of(text.p + key_bytes + 1, line - key_bytes - 1);
            return true;
        }
        size_t skip = end ? n + 1 : n;
        text = bytes_of(text.p + skip, text.n - skip);
    }
    return false;
}

bool log_dir_identity_parse(struct log_dir_identity *id, struct bytes text)
{
    struct bytes cluster, node, directory;
    if (!log_dir_property_find(text, "cluster.id", &cluster) || !log_dir_property_find(text, "node.id", &node) ||
        !log_dir_property_find(text, "directory.id", &directory))
        return false;
    if (cluster.n == 0 || cluster.n >= sizeof(id->cluster_id) || node.n == 0 || node.n > 10 ||
        !uuid_parse(directory, &id->directory_id))
        return false;
    memcpy(id->cluster_id, cluster.p, cluster.n);
    id->cluster_id[cluster.n] = 0;
    int64_t v = 0;
    for (size_t i = 0; i < node.n; i++) {
        if (node.p[i] < '0' || node.p[i] > '9')
            return false;
        v = v * 10 + (node.p[i] - '0');
    }
    if (v > INT32_MAX)
        return false;
    id->node_id = (int32_t)v;
    id->formatted = true;
    return true;
}

enum rc log_dir_identity_read(struct log_dir *d, char *why, size_t why_bytes)
{
    char path[IO_PATH_BYTES_MAX];
    struct buf text;
    buf_init(&text, IDENTITY_BYTES_MAX);
    d->identity = (struct log_dir_identity){.node_id = NODE_ID_NONE};
    enum rc rc = log_dir_path(d, path, "meta.properties");
    if (rc == RC_OK)
        rc = log_dir_read_file(d->io, path, &text);
    if (rc == RC_NOT_FOUND) {
        rc = RC_OK;
    } else if (rc) {
        snprintf(why, why_bytes, "cannot read %s: %s", path, rc_text(rc));
    } else if (!log_dir_identity_parse(&d->identity, buf_bytes(&text))) {
        snprintf(why, why_bytes,
                 "%s lacks a valid cluster.id, node.id or directory.id; restore the file or choose another folder",
                 path);
        rc = RC_CORRUPT;
    }
    buf_deinit(&text);
    return rc;
}

struct uuid log_dir_draw_id(struct log_dir *d)
{
    struct uuid id;
    char text[UUID_TEXT_CHARS + 1];
    do {
        io_random(d->io, id.b, sizeof(id.b));
        uuid_format(id, text);
    } while (text[0] == '-' || uuid_is_reserved(id)); // a leading dash reads as an option on a command line
    return id;
}

enum rc log_dir_sync_names(struct log_dir *d)
{
    enum rc rc = io_sync_dir_now(d->io, d->path);
    d->names_synced = rc == RC_OK;
    return rc;
}

enum rc log_dir_format(struct log_dir *d, const char *cluster_id, int32_t node_id, struct uuid id)
{
    ASSERT(strlen(cluster_id) < sizeof(d->identity.cluster_id));
    char path[IO_PATH_BYTES_MAX], id_text[UUID_TEXT_CHARS + 1];
    uuid_format(id, id_text);
    struct buf text;
    buf_init(&text, IDENTITY_BYTES_MAX);
    buf_printf(&text, "version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", cluster_id, node_id, id_text);
    enum rc rc = log_dir_path(d, path, "meta.properties");
    if (rc == RC_OK) // a power cut may take the folder; first: once meta.properties is there, nobody comes back to it
        rc = folder_sync_entry(d->io, d->path);
    if (rc == RC_OK)
        rc = text.failed ? RC_NOMEM : log_dir_write_file(d->io, path, buf_bytes(&text), true);
    buf_deinit(&text);
    if (rc)
        return rc;
    d->identity = (struct log_dir_identity){.formatted = true, .node_id = node_id, .directory_id = id};
    snprintf(d->identity.cluster_id, sizeof(d->identity.cluster_id), "%s", cluster_id);
    return RC_OK;
}

enum rc log_dir_check(const struct log_dir *d, const char *cluster_id, int32_t node_id, char *why, size_t why_bytes)
{
    const struct log_dir_identity *id = &d->identity;
    if (id->formatted && strcmp(id->cluster_id, cluster_id) != 0) {
        snprintf(
            why, why_bytes,
            "the log folder %s belongs to cluster %s, this node to cluster %s; choose another folder, or move this "
            "one away if its data is not needed",
            d->path, id->cluster_id, cluster_id);
        return RC_INCONSISTENT_CLUSTER_ID;
    }
    if (id->formatted && id->node_id != node_id) {
        snprintf(why, why_bytes,
                 "the log folder %s belongs to node %d, this is node %d; give --id %d or another folder", d->path,
                 id->node_id, node_id, id->node_id);
        return RC_INVALID;
    }
    return RC_OK;
}

enum rc log_dir_folder_topic_id(struct log_dir *d, const char *folder, struct uuid *topic_id)
{
    char path[IO_PATH_BYTES_MAX];
    struct buf text;
    int n = snprintf(path, sizeof(path), "%s/%s/partition.metadata", d->path, folder);
    if (n < 0 || n >= (int)sizeof(path))
        return RC_INVALID;
    buf_init(&text, IDENTITY_BYTES_MAX);
    enum rc rc = log_dir_read_file(d->io, path, &text);
    static const char head[] = "version: 0\ntopic_id: ";
    size_t head_bytes = sizeof(head) - 1;
    if (rc == RC_OK) {
        bool ok = text.n >= head_bytes + UUID_TEXT_CHARS && memcmp(text.p, head, head_bytes) == 0 &&
                  uuid_parse(bytes_of(text.p + head_bytes, UUID_TEXT_CHARS), topic_id);
        rc = ok ? RC_OK : RC_CORRUPT;
    }
    buf_deinit(&text);
    return rc;
}

enum text_kind { TEXT_RECOVERY_POINT, TEXT_START, TEXT_HIGH_WATERMARK, TEXT_CLEANED };

static int64_t text_value(const struct log_dir_entry *e, enum text_kind kind)
{
    switch (kind) {
    case TEXT_RECOVERY_POINT: // a clean stop makes the ends recovery points
        return e->clean ? log_dir_entry_latest(e)->offset : e->recovery_point.offset;
    case TEXT_START:
        return e->start > 0 ? e->start : OFFSET_NONE; // Kafka leaves out what the first segment says
    case TEXT_HIGH_WATERMARK:
        return e->high_watermark;
    case TEXT_CLEANED:
        return e->cleaned;
    }
    UNREACHABLE();
}

// Kafka's form: version 0, count, "topic partition offset" lines.
static enum rc log_dir_write_text(struct log_dir *d, const char *name, enum text_kind kind)
{
    struct buf lines, text;
    unsigned count = 0;
    buf_init(&lines, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    for (struct map_node *n = map_first(&d->entries); n; n = map_next(&d->entries, n)) {
        const struct log_dir_entry *e = container_of(n, const struct log_dir_entry, node);
        struct bytes topic;
        int64_t v = text_value(e, kind);
        if (v == OFFSET_NONE || future_is_id(e->id) || !d->topic_name || !d->topic_name(d, e->id.topic_id, &topic))
            continue;
        buf_printf(&lines, "%.*s %d %lld\n", (int)topic.n, (const char *)topic.p, e->id.partition, (long long)v);
        count++;
    }
    buf_printf(&text, "0\n%u\n", count);
    if (lines.n)
        buf_append(&text, lines.p, lines.n);
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = lines.failed || text.failed ? RC_NOMEM : log_dir_path(d, path, name);
    if (rc == RC_OK)
        rc = log_dir_write_file(d->io, path, buf_bytes(&text), false);
    buf_deinit(&lines);
    buf_deinit(&text);
    return rc;
}

enum rc log_dir_write_texts(struct log_dir *d)
{
    enum rc rc = log_dir_write_text(d, "recovery-point-offset-checkpoint", TEXT_RECOVERY_POINT);
    if (rc == RC_OK)
        rc = log_dir_write_text(d, "log-start-offset-checkpoint", TEXT_START);
    if (rc == RC_OK)
        rc = log_dir_write_text(d, "replication-offset-checkpoint", TEXT_HIGH_WATERMARK);
    if (rc == RC_OK)
        rc = log_dir_write_text(d, "cleaner-offset-checkpoint", TEXT_CLEANED);
    return rc;
}
