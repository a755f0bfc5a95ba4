// SPDX-License-Identifier: Apache-2.0
//
// The process around a node; see server.h.
#include "server/server.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/program.h"
#include "server/arguments.h"
#include "server/listeners.h"
#include "server/node.h"
#include "server/peers_list.h"
#include "store/prepared.h"

extern char **environ;

enum {
    FILES_OWN = 64,    // ourselves: rings, listeners, folders, the metadata log
    FILES_LEAST = 256, // below this nothing useful can be served
    MAPPED_BYTES = 64 << 10,   // allocations from here on are mapped and go back when they are freed
    HEAP_SPARE_BYTES = 256 << 10,
    HEAP_HOLES_BYTES = 4 << 20, // more that lies free between blocks in use is given back
    TRIM_EVERY_S = 20,
    STOP_ONCE_NS = 500 * 1000 * 1000, // signals this close ask once: supervisors tell the process and then its group
};

struct server {
    struct arguments arguments;
    struct settings settings;
    struct config_layer properties;
    struct config_layers layers;
    struct peers_list peers;
    struct trace_sink trace;
    struct io *ios[SHARDS_MAX];
    struct io_thread threads[SHARDS_MAX];
    uint32_t shard_count, thread_count;
    const char *dirs[LOG_DIRS_MAX];
    unsigned dir_count;
    struct node_config config;
    struct node *node;
    uint64_t started_ns;
    bool stop_early; // a signal came while the node booted
    uint64_t stop_asked_ns;
    char cluster_id[sizeof((struct log_dir_identity){0}.cluster_id)]; // of prepared folders, or empty
    struct shard_timer trim_timer;
    size_t heap_free_bytes; // when the heap was last trimmed
    int exit_code;
};

// ------------------------------------------------------------------------------------------------ lines

static void server_write_line(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct server *s = container_of(sink, struct server, trace);
    char head[64];
    int64_t wall_ms = s->ios[0] ? io_wall_ms(s->ios[0]) : 0;
    int64_t day_ms = wall_ms % 86400000;
    int used = snprintf(head, sizeof(head), "%02d:%02d:%02d.%03d %s: ", (int)(day_ms / 3600000),
                        (int)(day_ms / 60000 % 60), (int)(day_ms / 1000 % 60), (int)(day_ms % 1000), names[level]);
    char whole[1200];
    snprintf(whole, sizeof(whole), "%.*s%.*s\n", used, head, (int)n, line);
    fputs(whole, stderr); // one call, so that lines of several shards do not mix
}

static int server_fail(const char *text)
{
    fprintf(stderr, "weir server: %s\n", text);
    return 1;
}

// ------------------------------------------------------------------------------------------------ configuration

static void server_default_pair(struct server *s, const char *name, const char *value)
{
    for (size_t i = 0; i < s->settings.pair_count; i++)
        if (strcmp(s->settings.pairs[i].name, name) == 0)
            return;
    settings_set(&s->settings, SETTINGS_DEFAULT, name, value);
}

// systemd's folder if it gave one (the first of several), else one below the working folder.
static void server_default_data(struct server *s)
{
    const char *state = getenv("STATE_DIRECTORY");
    size_t n = state ? strcspn(state, ":") : 0;
    char path[IO_PATH_BYTES_MAX];
    if (n > 0 && n < sizeof(path)) {
        memcpy(path, state, n);
        path[n] = 0;
    } else {
        memcpy(path, "weir-data", sizeof("weir-data"));
    }
    server_default_pair(s, "log.dirs", path);
}

// The property says the same as the flag; a node that ignored it would be a cluster of its own.
static void server_read_peers(struct server *s)
{
    const char *what = s->arguments.peers ? "--peers" : "controller.quorum.voters";
    const char *list = s->arguments.peers ? s->arguments.peers : config_broker_text(&s->layers, what);
    const char *bootstrap = config_broker_text(&s->layers, "controller.quorum.bootstrap.servers");
    if (bootstrap && *bootstrap && (!list || !*list) && !peers_list_bootstrap_is_self(&s->layers))
        settings_problem(&s->settings,
                         "controller.quorum.bootstrap.servers does not say which nodes there are: give "
                         "controller.quorum.voters=ID@HOST:PORT,... (or --peers), or remove the line for a node by "
                         "itself");
    peers_list_read(&s->settings, s->ios[0], what, list, (int32_t)config_broker_int(&s->layers, "node.id", 1),
                    &s->peers);
}

// Alone, this machine only; with peers, the address where those find this node.
static void server_default_listener(struct server *s)
{
    char text[IO_HOST_BYTES_MAX + 32];
    const struct peer_address *self = s->peers.self;
    const char *host = !self ? "127.0.0.1" : io_addr_is_local(s->ios[0], &self->addr) ? self->host : "0.0.0.0";
    snprintf(text, sizeof(text), strchr(host, ':') ? "PLAINTEXT://[%s]:9092" : "PLAINTEXT://%s:9092", host);
    server_default_pair(s, "listeners", text);
}

// What several keys must say together (Kafka's KafkaConfig.validateValues).
static void server_check_groups(struct server *s)
{
    static const char *const timed[] = {"session.timeout.ms", "heartbeat.interval.ms"};
    int64_t value[ARRAY_COUNT(timed)];
    for (size_t i = 0; i < ARRAY_COUNT(timed); i++) {
        char name[80], low[80], high[80];
        snprintf(name, sizeof(name), "group.consumer.%s", timed[i]);
        snprintf(low, sizeof(low), "group.consumer.min.%s", timed[i]);
        snprintf(high, sizeof(high), "group.consumer.max.%s", timed[i]);
        int64_t min = config_broker_int(&s->layers, low, 0), max = config_broker_int(&s->layers, high, INT32_MAX);
        value[i] = config_broker_int(&s->layers, name, min);
        if (value[i] < min || value[i] > max)
            settings_problem(&s->settings, "%s=%lld must lie between %s=%lld and %s=%lld", name, (long long)value[i],
                             low, (long long)min, high, (long long)max);
    }
    if (value[1] >= value[0])
        settings_problem(&s->settings, "group.consumer.%s must be less than group.consumer.%s", timed[1], timed[0]);
    const char *protocols = config_broker_text(&s->layers, "group.coordinator.rebalance.protocols");
    struct bytes element;
    bool classic = false;
    while (config_list_next(&protocols, &element))
        classic = classic || bytes_eq(element, bytes_str("classic"));
    if (!classic)
        settings_problem(&s->settings, "group.coordinator.rebalance.protocols: the classic protocol cannot be disabled");
}

// Reads file, environment and flags into s->layers. The exit code, or -1 to go on.
static int server_configure(struct server *s, int argc, char **argv)
{
    struct settings *t = &s->settings;
    if (s->arguments.file) {
        enum rc rc = settings_read_file(t, s->ios[0], s->arguments.file);
        if (rc != RC_OK) {
            fprintf(stderr, "weir server: %s: %s\n", s->arguments.file, rc_text(rc));
            return 1;
        }
    }
    settings_read_environment(t, environ);
    arguments_apply(&s->arguments, t, argc, argv);
    server_default_data(s);
    if (argc <= 1) // somebody who tries it out waits for nobody
        server_default_pair(s, "group.initial.rebalance.delay.ms", "0");
    s->properties = settings_finish(t);
    s->layers = (struct config_layers){.properties = s->properties};
    server_read_peers(s);
    server_default_listener(s);
    s->properties = settings_finish(t);
    s->layers = (struct config_layers){.properties = s->properties};
    server_check_groups(s);
    listeners_resolve(t, s->ios[0], &s->layers, s->peers.self ? s->peers.self->host : NULL, &s->config.broker);
    for (size_t i = 0; i < t->problem_count; i++)
        fprintf(stderr, "weir server: %s\n", t->problems[i]);
    if (t->problems_dropped)
        fprintf(stderr, "weir server: and %zu more\n", t->problems_dropped);
    if (t->problem_count)
        return 1;
    if (s->arguments.check) {
        for (size_t i = 0; i < t->note_count; i++)
            printf("note: %s\n", t->notes[i]);
        printf("the configuration is valid\n");
        return 0;
    }
    return -1;
}

static bool server_dirs(struct server *s)
{
    const char *rest = config_broker_text(&s->layers, "log.dirs");
    struct bytes element;
    while (config_list_next(&rest, &element)) {
        if (s->dir_count == LOG_DIRS_MAX || element.n >= IO_PATH_BYTES_MAX - TOPIC_NAME_BYTES_MAX - 64) {
            server_fail("log.dirs: too many folders, or a path too long");
            return false;
        }
        char *path = arena_copy(&s->settings.arena, element.p, element.n);
        if (!path)
            return false;
        s->dirs[s->dir_count++] = path;
    }
    s->config.log_dirs = s->dirs;
    s->config.log_dir_count = s->dir_count;
    const char *metadata = config_broker_text(&s->layers, "metadata.log.dir");
    for (unsigned i = 0; metadata && i < s->dir_count; i++)
        if (strcmp(metadata, s->dirs[i]) == 0)
            metadata = NULL; // one of the log folders: the first, or said so
    s->config.metadata_dir = metadata && *metadata ? metadata : NULL;
    return true;
}

// The cluster id that kafka-storage left in folders no node has used. False after a message.
static bool server_prepared(struct server *s)
{
    char text[IO_PATH_BYTES_MAX + 200];
    for (unsigned i = 0; i <= s->dir_count; i++) {
        const char *folder = i < s->dir_count ? s->dirs[i] : s->config.metadata_dir;
        struct log_dir_identity id;
        enum rc rc = folder ? prepared_read(s->ios[0], folder, &id) : RC_NOT_FOUND;
        if (rc != RC_OK || id.formatted) // whatever else is wrong there is said where the folder is opened
            continue;
        if (!s->cluster_id[0]) {
            memcpy(s->cluster_id, id.cluster_id, sizeof(s->cluster_id));
            s->config.cluster_id = bytes_str(s->cluster_id);
        } else if (strcmp(s->cluster_id, id.cluster_id) != 0) {
            snprintf(text, sizeof(text),
                     "%s was prepared for cluster %s and a folder before it for %s; empty them and run kafka-storage "
                     "format once for all of log.dirs",
                     folder, id.cluster_id, s->cluster_id);
            server_fail(text);
            return false;
        }
    }
    return true;
}

// Splits memory and open files. False after a message.
static bool server_limits(struct server *s)
{
    struct broker_config *b = &s->config.broker;
    uint64_t files = io_files_limit(s->ios[0]);
    char text[256];
    if (files < FILES_LEAST) {
        snprintf(text, sizeof(text),
                 "the limit of open files is %llu and at least %d are needed: raise it (ulimit -n, LimitNOFILE=)",
                 (unsigned long long)files, FILES_LEAST);
        server_fail(text);
        return false;
    }
    uint64_t share = (files - FILES_OWN) / 2;
    b->connections_max = (uint32_t)share; // max.connections may be raised while it runs
    s->config.files_max = files - FILES_OWN - b->connections_max;
    if (s->config.files_max > 1 << 20)
        s->config.files_max = 1 << 20;
    int64_t memory = 0;
    const char *asked = config_broker_text(&s->layers, "memory");
    if (!asked || !*asked || !config_parse_size(asked, &memory))
        memory = (int64_t)(io_memory_bytes(s->ios[0]) / 4);
    int64_t least = 2 * (int64_t)BROKER_SHARD_BYTES_MIN;
    if (s->shard_count > 2)
        least = (int64_t)s->shard_count * BROKER_SHARD_BYTES_MIN;
    if (memory < least) {
        snprintf(text, sizeof(text), "memory is %lld bytes and at least %lld MiB are needed for %u shard%s (--memory)",
                 (long long)memory, (long long)(least >> 20), s->shard_count, s->shard_count == 1 ? "" : "s");
        server_fail(text);
        return false;
    }
    b->memory_bytes = (uint64_t)memory;
    return true;
}

static uint32_t server_buffer_bytes(const struct server *s, const char *name)
{
    int64_t n = config_broker_int(&s->layers, name, -1);
    return n > 0 ? (uint32_t)n : 0;
}

static void server_broker_config(struct server *s)
{
    struct broker_config *b = &s->config.broker;
    b->request_bytes_max = (uint32_t)config_broker_int(&s->layers, "socket.request.max.bytes", 104857600);
    b->idle_ms_max = config_broker_int(&s->layers, "connections.max.idle.ms", 600000);
    b->send_buffer_bytes = server_buffer_bytes(s, "socket.send.buffer.bytes");
    b->receive_buffer_bytes = server_buffer_bytes(s, "socket.receive.buffer.bytes");
    b->fetch_sessions_max = (uint32_t)config_broker_int(&s->layers, "max.incremental.fetch.session.cache.slots", 1000);
    b->fetch_bytes_max = (int32_t)config_broker_int(&s->layers, "fetch.max.bytes", 57671680);
    b->auto_create_topics = config_broker_bool(&s->layers, "auto.create.topics.enable");
    b->delete_topics = config_broker_bool(&s->layers, "delete.topic.enable");
    s->config.node_id = (int32_t)config_broker_int(&s->layers, "node.id", 1);
    s->config.properties = s->properties;
    s->config.rack = config_broker_text(&s->layers, "broker.rack");
    s->config.trace = &s->trace;
    s->config.peers = s->peers.at;
    s->config.peer_count = s->peers.count;
    s->config.peer_listen = s->peers.listen;
    s->config.peer_host = s->peers.self ? s->peers.self->host : NULL;
    s->config.peer_port = s->peers.self ? s->peers.self->addr.port : 0;
}

// ------------------------------------------------------------------------------------------------ start lines

static void server_say_start(struct server *s)
{
    const struct node *n = s->node;
    const struct quorum_identity *id = quorum_identity(n->engine->quorum);
    const struct broker_config *b = &s->config.broker;
    char addr[IO_ADDR_TEXT_MAX];
    printf("weir %s, %s, %u shard%s\n", program_version(), io_engine_name(s->ios[0]), s->shard_count,
           s->shard_count == 1 ? "" : "s");
    printf("data in %s%s, cluster %s, node %d%s", s->dirs[0], s->dir_count > 1 ? " and others" : "",
           id->forming ? "to be formed or found" : id->cluster_id, id->node_id, id->formatted ? " (new)" : "");
    if (n->engine->recovered_logs)
        printf("; read %llu bytes of %llu logs again (%s)%s", (unsigned long long)n->engine->recovered_bytes,
               (unsigned long long)n->engine->recovered_logs,
               n->engine->recovered_from_marks ? "from what was written" : "from what was synced",
               n->engine->recovered_cut_bytes ? ", torn tails were cut" : "");
    printf("\n");
    for (unsigned i = 0; i < b->listener_count; i++) {
        io_addr_format(&n->broker->shards[0].listeners[i].addr, addr);
        printf("%s%s as %s, clients are told %s:%u", i ? "; " : "listening on ", addr, b->listeners[i].name,
               b->listeners[i].advertised_host, b->listeners[i].advertised_port);
    }
    if (s->peers.count) {
        io_addr_format(&s->peers.listen, addr);
        printf("; peers on %s", addr);
    }
    int64_t connections = config_broker_int(&s->layers, "max.connections", INT32_MAX);
    printf("\nmemory %llu MiB, frames up to %u bytes, %u connections, %llu open log files\n",
           (unsigned long long)(b->memory_bytes >> 20), broker_frame_bytes_max(n->broker),
           connections < b->connections_max ? (uint32_t)connections : b->connections_max,
           (unsigned long long)s->config.files_max);
    printf("try: echo hello | kcat -b %s:%u -P -t first && kcat -b %s:%u -C -t first -e\n",
           b->listeners[0].advertised_host, b->listeners[0].advertised_port, b->listeners[0].advertised_host,
           b->listeners[0].advertised_port);
    fflush(stdout);
    for (size_t i = 0; i < s->settings.note_count; i++)
        trace_info(&s->trace, "%s", s->settings.notes[i]);
    for (unsigned i = 0; i < b->listener_count; i++)
        if (!io_addr_is_loopback(&b->listeners[i].listen)) {
            trace_warn(&s->trace,
                       "listening beyond this machine without authentication: anyone who reaches it may read "
                       "and write");
            break;
        }
}

// ------------------------------------------------------------------------------------------------ running

static void server_changed(struct node *n)
{
    struct server *s = n->owner;
    if (n->failed) {
        s->exit_code = 1;
        node_stop(n);
    }
    if (n->ready && !n->stopping)
        io_notify(s->ios[0], "READY=1");
    if (n->settled)
        for (uint32_t i = 0; i < s->shard_count; i++)
            shard_stop(&n->shards.shards[i]);
}

// How the work was done, for who asks why a node was fast or slow.
static void server_say_counters(struct server *s)
{
    struct io_counters sum = {0};
    struct shard_counters turns = {0};
    for (uint32_t i = 0; i < s->shard_count; i++) {
        const struct io_counters *c = io_counters(s->ios[i]);
        sum.send_bytes += c->send_bytes;
        sum.send_file_bytes += c->send_file_bytes;
        sum.recv_bytes += c->recv_bytes;
        sum.read_bytes[IO_FILE_LOG] += c->read_bytes[IO_FILE_LOG];
        sum.write_bytes[IO_FILE_LOG] += c->write_bytes[IO_FILE_LOG];
        sum.prefetches += c->prefetches;
        shard_counters_add(&turns, &s->node->shards.shards[i].counters);
    }
    trace_info(
        &s->trace,
        "received %llu bytes, wrote %llu to logs; sent %llu from memory and %llu from log files by sendfile, read "
        "%llu bytes of log files, fetched %llu cold ranges; %llu of %llu turns took over 5 ms, the longest %llu us, "
        "99 %% at most %llu us, 99.9 %% at most %llu us",
        (unsigned long long)sum.recv_bytes, (unsigned long long)sum.write_bytes[IO_FILE_LOG],
        (unsigned long long)sum.send_bytes, (unsigned long long)sum.send_file_bytes,
        (unsigned long long)sum.read_bytes[IO_FILE_LOG], (unsigned long long)sum.prefetches,
        (unsigned long long)turns.turns_slow, (unsigned long long)turns.turns,
        (unsigned long long)(turns.turn_ns_max / 1000),
        (unsigned long long)(shard_turn_quantile_ns(&turns, 0.99) / 1000),
        (unsigned long long)(shard_turn_quantile_ns(&turns, 0.999) / 1000));
}

static void server_signal(void *context, int signal_number)
{
    struct server *s = context;
    if (!s->node) {
        s->stop_early = true;
        return;
    }
    uint64_t now_ns = shard_now_ns(&s->node->shards.shards[0]);
    if (s->node->stopping && now_ns - s->stop_asked_ns < STOP_ONCE_NS)
        return;
    if (s->node->stopping) { // asked twice: now, as if killed, which is safe
        trace_warn(&s->trace, "stopping at once; the next start reads the end of the logs again");
        quick_exit(1);
    }
    s->stop_asked_ns = now_ns;
    trace_info(&s->trace, "stopping (signal %d)", signal_number);
    io_notify(s->ios[0], "STOPPING=1");
    node_stop(s->node);
}

// What ten thousand deleted partitions leave is scattered over the heap; the allocator gives back only what lies at its
// end. A few milliseconds, once, after much was freed.
static void server_trim_heap(struct shard_timer *t)
{
    struct server *s = container_of(t, struct server, trim_timer);
    struct shard *shard = &s->node->shards.shards[0];
    size_t now_free = mallinfo2().fordblks;
    if (now_free < s->heap_free_bytes)
        s->heap_free_bytes = now_free;
    if (now_free - s->heap_free_bytes > HEAP_HOLES_BYTES) {
        malloc_trim(HEAP_SPARE_BYTES);
        s->heap_free_bytes = mallinfo2().fordblks;
    }
    if (!s->node->stopping)
        shard_timer_set(shard, t, shard_now_ns(shard) + TRIM_EVERY_S * UINT64_C(1000000000), server_trim_heap);
}

static void server_thread(void *argument)
{
    shard_run(argument);
}

static int server_run(struct server *s)
{
    char text[1024] = "";
    io_on_signal(s->ios[0], server_signal, s);
    io_thread_short_slices();
    if (node_create(&s->node, &s->config, s->ios, s->shard_count, text, sizeof(text)) != RC_OK)
        return server_fail(text);
    s->node->owner = s;
    s->node->changed = server_changed;
    server_say_start(s);
    for (uint32_t i = 1; i < s->shard_count; i++)
        if (io_thread_start(&s->threads[i], server_thread, &s->node->shards.shards[i], (int)i) == RC_OK)
            s->thread_count = i;
    server_trim_heap(&s->trim_timer);
    if (s->stop_early)
        node_stop(s->node);
    if (s->thread_count + 1 == s->shard_count)
        shard_run(&s->node->shards.shards[0]);
    else
        quick_exit(server_fail("a thread could not be started")); // those that run would have to be stopped first
    for (uint32_t i = 1; i <= s->thread_count; i++)
        io_thread_join(&s->threads[i]);
    server_say_counters(s);
    if (!s->node->quiet)
        quick_exit(1); // taking apart what is in use would be worse
    shard_timer_cancel(&s->node->shards.shards[0], &s->trim_timer);
    node_destroy(s->node);
    return s->exit_code;
}

static bool server_ios(struct server *s)
{
    int64_t shards = config_broker_int(&s->layers, "shards", 0);
    unsigned cpus = io_cpu_count(s->ios[0]);
    s->shard_count = shards > 0 ? (uint32_t)shards : (cpus > 1 ? cpus - 1 : 1);
    if (s->shard_count > SHARDS_MAX)
        s->shard_count = SHARDS_MAX;
    const char *engine = config_broker_text(&s->layers, "io.engine");
    struct io_config ic = {.trace = &s->trace};
    if (engine && strcmp(engine, "uring") == 0)
        ic.engine = IO_ENGINE_URING;
    if (engine && strcmp(engine, "epoll") == 0)
        ic.engine = IO_ENGINE_EPOLL;
    io_destroy(s->ios[0]); // the one the configuration was read with
    s->ios[0] = NULL;
    for (uint32_t i = 0; i < s->shard_count; i++)
        if (io_create(&s->ios[i], &ic) != RC_OK) {
            server_fail("the io engine cannot be started; try --set io.engine=epoll");
            return false;
        }
    return true;
}

int server_main(int argc, char **argv)
{
    struct server *s = calloc(1, sizeof(*s));
    char message[512];
    if (!s)
        return server_fail("out of memory");
    // Fixed, since the allocator would raise them by itself with the first large block and keep what a load has left.
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    mallopt(M_TRIM_THRESHOLD, HEAP_SPARE_BYTES);
    s->trace = (struct trace_sink){.level_min = TRACE_INFO, .write = server_write_line};
    settings_init(&s->settings);
    int code = -1;
    if (!arguments_scan(&s->arguments, argc, argv, message, sizeof(message))) {
        server_fail(message);
        code = 2;
    } else if (s->arguments.help) {
        fputs(arguments_help, stdout);
        code = 0;
    } else if (io_create(&s->ios[0], &(struct io_config){.engine = IO_ENGINE_EPOLL, .trace = &s->trace}) != RC_OK) {
        code = server_fail("epoll cannot be used on this system");
    }
    if (code < 0)
        code = server_configure(s, argc, argv);
    if (code < 0)
        code = server_dirs(s) && server_ios(s) && server_prepared(s) && server_limits(s) ? -1 : 1;
    if (code < 0) {
        server_broker_config(s);
        code = server_run(s);
    }
    for (uint32_t i = 0; i < SHARDS_MAX; i++)
        if (s->ios[i])
            io_destroy(s->ios[i]);
    settings_deinit(&s->settings);
    free(s);
    return code;
}
