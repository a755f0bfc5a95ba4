// SPDX-License-Identifier: Apache-2.0
//
// Files: the calls that finish before they return, and the start of those that complete later.
#include "io/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool path_fits(const char *path)
{
    return strnlen(path, IO_PATH_BYTES_MAX) < IO_PATH_BYTES_MAX;
}

// ------------------------------------------------------------------------------------------------ open, close, size

enum rc io_file_open(struct io *io, struct io_file *f, const char *path, unsigned flags, enum io_file_kind kind)
{
    *f = (struct io_file){.fd = -1, .kind = kind, .private_data = f->private_data};
    if (!path_fits(path))
        return RC_INVALID;
    int how = O_CLOEXEC;
    if (flags & IO_OPEN_DIRECTORY)
        how |= O_RDONLY | O_DIRECTORY;
    else
        how |= !(flags & IO_OPEN_WRITE) ? O_RDONLY : (flags & IO_OPEN_READ) ? O_RDWR : O_WRONLY;
    how |= (flags & IO_OPEN_CREATE) ? O_CREAT : 0;
    how |= (flags & IO_OPEN_EXCLUSIVE) ? O_EXCL : 0;
    how |= (flags & IO_OPEN_TRUNCATE) ? O_TRUNC : 0;
    int fd;
    do
        fd = open(path, how, 0644);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return io_rc_of_errno(errno);
    // Reading must not write the inode: with relatime the first read behind every append does, and a consumer at the end
    // of a log reads behind every append. Only a file's owner may ask for that; anybody else reads as usual. Asked for
    // in open() the refusal of a file just made would leave it behind.
    if (!(flags & IO_OPEN_DIRECTORY))
        (void)fcntl(fd, F_SETFL, O_NOATIME);
    f->io = io;
    f->fd = fd;
    f->is_dir = (flags & IO_OPEN_DIRECTORY) != 0;
    if (flags & IO_OPEN_WRITE)
        f->device = io_device_of(io, fd);
    // Who reads a log says how much; read-ahead of the kernel's own would be started, and waited for, inside a sendfile.
    if (kind == IO_FILE_LOG)
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    return RC_OK;
}

void io_file_close(struct io_file *f)
{
    ASSERT(f->io);
    if (f->allocated_bytes) {
        // Gives back the blocks allocated ahead: cutting a file to its own size does that and nothing else.
        struct stat st;
        if (fstat(f->fd, &st) == 0 && (uint64_t)st.st_size < f->allocated_bytes) {
            int rc = ftruncate(f->fd, st.st_size);
            (void)rc; // a few blocks too many are no error
        }
    }
    close(f->fd);
    f->io = NULL;
    f->fd = -1;
}

enum rc io_file_size(struct io_file *f, uint64_t *bytes)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return io_rc_of_errno(errno);
    *bytes = (uint64_t)st.st_size;
    return RC_OK;
}

enum rc io_file_truncate(struct io_file *f, uint64_t bytes)
{
    int rc;
    do
        rc = ftruncate(f->fd, (off_t)bytes);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return io_rc_of_errno(errno);
    f->allocated_bytes = 0;
    if (f->written_back_bytes > bytes)
        f->written_back_bytes = bytes;
    return RC_OK;
}

enum rc io_file_lock(struct io_file *f)
{
    if (flock(f->fd, LOCK_EX | LOCK_NB) == 0)
        return RC_OK;
    return errno == EWOULDBLOCK ? RC_LOCKED : io_rc_of_errno(errno);
}

// ------------------------------------------------------------------------------------------------ inline reads, writes

enum rc io_file_read_now(struct io_file *f, void *p, size_t n, uint64_t offset, size_t *got)
{
    *got = 0;
    while (*got < n) {
        ssize_t r = pread(f->fd, (char *)p + *got, n - *got, (off_t)(offset + *got));
        if (r == 0)
            break;
        if (r < 0 && errno != EINTR)
            return io_rc_of_errno(errno);
        *got += r > 0 ? (size_t)r : 0;
    }
    f->io->counters.read_bytes[f->kind] += *got;
    return RC_OK;
}

// One read out of the page cache: bytes, 0 at end of file, -1 with errno EAGAIN when it would have to wait. A file
// system that cannot say (EOPNOTSUPP) lies in memory as a rule.
static ssize_t read_cached(struct io_file *f, void *p, size_t n, uint64_t offset)
{
    struct iovec v = {.iov_base = p, .iov_len = n};
    ssize_t r;
    do {
        r = preadv2(f->fd, &v, 1, (off_t)offset, RWF_NOWAIT);
        if (r < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
            r = pread(f->fd, p, n, (off_t)offset);
    } while (r < 0 && errno == EINTR);
    return r;
}

enum rc io_file_read_cached(struct io_file *f, void *p, size_t n, uint64_t offset, size_t *got)
{
    size_t done = 0;
    *got = 0;
    while (done < n) {
        ssize_t r = read_cached(f, (char *)p + done, n - done, offset + done);
        if (r == 0)
            break;
        if (r < 0)
            return io_rc_of_errno(errno);
        done += (size_t)r;
    }
    *got = done;
    f->io->counters.read_bytes[f->kind] += done;
    return RC_OK;
}

bool io_file_cached(struct io_file *f, uint64_t offset, uint64_t bytes)
{
    uint8_t byte;
    if (bytes == 0)
        return true;
    if (read_cached(f, &byte, 1, offset) < 0)
        return false;
    // Both ends in one page: asked already.
    if (offset / 4096 == (offset + bytes - 1) / 4096)
        return true;
    return read_cached(f, &byte, 1, offset + bytes - 1) >= 0;
}

enum rc io_file_write_now(struct io_file *f, const void *p, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = pwrite(f->fd, (const char *)p + done, n - done, (off_t)(offset + done));
        if (r == 0)
            return RC_IO;
        if (r < 0 && errno != EINTR)
            return io_rc_of_errno(errno);
        done += r > 0 ? (size_t)r : 0;
    }
    f->io->counters.write_bytes[f->kind] += done;
    f->io->counters.writes++;
    return RC_OK;
}

enum rc io_file_sync_now(struct io_file *f)
{
    f->io->counters.syncs++;
    return (f->is_dir ? fsync(f->fd) : fdatasync(f->fd)) == 0 ? RC_OK : io_rc_of_errno(errno);
}

// ------------------------------------------------------------------------------------------------ names

enum rc io_rename(struct io *io, const char *from, const char *to)
{
    (void)io;
    if (!path_fits(from) || !path_fits(to))
        return RC_INVALID;
    return rename(from, to) == 0 ? RC_OK : io_rc_of_errno(errno);
}

enum rc io_make_dir(struct io *io, const char *path)
{
    (void)io;
    if (!path_fits(path))
        return RC_INVALID;
    return mkdir(path, 0755) == 0 ? RC_OK : io_rc_of_errno(errno);
}

enum rc io_symlink(struct io *io, const char *target, const char *path)
{
    (void)io;
    if (!path_fits(target) || !path_fits(path))
        return RC_INVALID;
    return symlink(target, path) == 0 ? RC_OK : io_rc_of_errno(errno);
}

enum rc io_program_path(struct io *io, char *out, size_t n)
{
    (void)io;
    ssize_t got = readlink("/proc/self/exe", out, n);
    if (got < 0)
        return io_rc_of_errno(errno);
    if ((size_t)got >= n)
        return RC_INVALID;
    out[got] = 0;
    return RC_OK;
}

enum rc io_remove_now(struct io *io, const char *path)
{
    (void)io;
    if (!path_fits(path))
        return RC_INVALID;
    if (unlink(path) == 0)
        return RC_OK;
    if (errno == EISDIR && rmdir(path) == 0)
        return RC_OK;
    return io_rc_of_errno(errno);
}

enum rc io_sync_dir_now(struct io *io, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_rc_of_errno(errno);
    enum rc rc = fsync(fd) == 0 ? RC_OK : io_rc_of_errno(errno);
    close(fd);
    io->counters.syncs++;
    return rc;
}

bool io_exists(struct io *io, const char *path)
{
    (void)io;
    struct stat st;
    return stat(path, &st) == 0;
}

struct dir_entry {
    char *name;
    bool is_dir;
};

static int dir_entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct dir_entry *)a)->name, ((const struct dir_entry *)b)->name);
}

static bool entry_is_dir(DIR *dir, const struct dirent *e)
{
    if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK)
        return e->d_type == DT_DIR;
    struct stat st;
    return fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static enum rc dir_collect(DIR *dir, struct dir_entry **entries, size_t *count)
{
    size_t cap = 0;
    struct dirent *e;
    while (errno = 0, (e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (*count == cap) {
            cap = cap ? cap * 2 : 64;
            struct dir_entry *more = realloc(*entries, cap * sizeof(*more));
            if (!more)
                return RC_NOMEM;
            *entries = more;
        }
        char *name = strdup(e->d_name);
        if (!name)
            return RC_NOMEM;
        (*entries)[(*count)++] = (struct dir_entry){.name = name, .is_dir = entry_is_dir(dir, e)};
    }
    return io_rc_of_errno(errno);
}

enum rc io_list_dir(struct io *io, const char *path, void (*visit)(void *context, const char *name, bool is_dir),
                    void *context)
{
    (void)io;
    DIR *dir = opendir(path);
    if (!dir)
        return io_rc_of_errno(errno);
    struct dir_entry *entries = NULL;
    size_t count = 0;
    enum rc rc = dir_collect(dir, &entries, &count);
    closedir(dir);
    if (rc == RC_OK && count > 0)
        qsort(entries, count, sizeof(*entries), dir_entry_compare);
    for (size_t i = 0; i < count; i++) {
        if (rc == RC_OK)
            visit(context, entries[i].name, entries[i].is_dir);
        free(entries[i].name);
    }
    free(entries);
    return rc;
}

enum rc io_space(struct io *io, const char *path, struct io_space *out)
{
    (void)io;
    struct statvfs v;
    if (statvfs(path, &v) != 0)
        return io_rc_of_errno(errno);
    out->total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
    out->available_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    return RC_OK;
}

void io_boot_id(struct io *io, char out[IO_BOOT_ID_BYTES])
{
    (void)io;
    memset(out, 0, IO_BOOT_ID_BYTES);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, IO_BOOT_ID_BYTES - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
}

// ------------------------------------------------------------------------------------------------ completions

static void op_start_file(struct io_op *op, struct io_file *f, enum io_op_kind kind, uint64_t offset, size_t n)
{
    ASSERT(f->io);
    io_op_start(f->io, op, kind);
    op->file = f;
    op->fd = f->fd;
    op->offset = offset;
    op->n = n;
}

void io_file_read(struct io_op *op, struct io_file *f, void *p, size_t n, uint64_t offset)
{
    op_start_file(op, f, IO_OP_READ, offset, n);
    op->p = p;
    if (n == 0)
        io_op_complete(op, RC_OK);
    else
        f->io->calls->submit(f->io, op);
}

void io_file_prefetch(struct io_op *op, struct io_file *f, uint64_t offset, uint64_t bytes)
{
    op_start_file(op, f, IO_OP_PREFETCH, offset, (size_t)bytes);
    f->io->counters.prefetches++;
    if (bytes == 0)
        io_op_complete(op, RC_OK);
    else
        f->io->calls->submit(f->io, op);
}

void io_file_sync(struct io_op *op, struct io_file *f)
{
    // To ext4 a name that fits into its folder's last block is no change that fdatasync() has to write: folders need
    // all of fsync().
    op_start_file(op, f, IO_OP_SYNC, 0, f->is_dir);
    f->io->counters.syncs++;
    f->io->calls->submit(f->io, op);
}

void io_file_sync_all(struct io_op *op, struct io_file *f)
{
    op_start_file(op, f, IO_OP_SYNC_ALL, 0, 0);
    f->io->counters.syncs++;
    f->io->calls->submit(f->io, op);
}

void io_remove(struct io_op *op, struct io *io, const char *path)
{
    io_op_start(io, op, IO_OP_REMOVE);
    op->file = NULL;
    op->n = 0;
    op->path = path_fits(path) ? strdup(path) : NULL;
    if (!op->path)
        io_op_complete(op, path_fits(path) ? RC_NOMEM : RC_INVALID);
    else
        io->calls->submit(io, op);
}
