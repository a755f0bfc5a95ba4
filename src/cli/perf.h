// SPDX-License-Identifier: Apache-2.0
//
// weir perf: what its files share. The load is an open loop: requests are due at fixed times whether or not the broker
// keeps up, and latency counts from the time a request was due, so that a stall is seen by everything it delayed.
// Batches are built once; the generator only sends them.
#pragma once

#include "cli/cli.h"
#include "cli/histogram.h"
#include "client/consumer.h"

enum { PERF_CLIENTS_MAX = 1024, PERF_IN_FLIGHT_MAX = 256, PERF_SPREAD_MAX = 64 };

struct perf_options {
    struct cli_common common; // json: the report
    const char *topic;
    int64_t partitions, record_bytes, batch_bytes, codec, acks, rate, duration_ms, warmup_ms, clients, requests, retry_ms;
    int64_t server_pid, fetch_bytes, max_bytes, min_bytes;
    int64_t batch_records; // at most, in a batch; 0: as many as fit
    int64_t records_max;   // 0: as many as there is time for; not with idempotent or perf latency
    bool idempotent, repeat, check_crc;
    bool keyed; // not with idempotent, retry_ms or perf latency
};

static inline const char *perf_topic_name(const struct perf_options *o)
{
    return o->topic ? o->topic : "weir-perf";
}

// CPU time and memory of a process, out of /proc.
struct perf_usage {
    bool known;
    double cpu_s;
    int64_t resident_bytes;
};

struct perf_usage perf_usage_of(struct cli *cli, int64_t pid); // 0: this process

struct perf_load;

// One request and, when it is changed before each use, its own copy of the batch.
struct perf_slot {
    struct perf_load *load;
    struct perf_client *client;
    struct perf_slot *next_free;
    struct client_request request;
    struct produce_request in;
    struct produce_request_topic_data topic;
    struct produce_request_partition_data *partitions; // room for spread
    struct enc_hole *holes;
    uint8_t *batch;
    int32_t count;   // of partitions in what is under way
    int32_t records; // in all of them
    uint64_t due_ns;
};

// A client of its own: its connections, its producer id.
struct perf_client {
    struct client client;
    struct client_topic *topic;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t *sequences; // by partition
    int32_t next_partition;
    struct perf_slot *free_slots;
};

struct perf_load {
    struct cli *cli;
    const struct perf_options *options;
    struct perf_client *clients;
    struct perf_slot *slots;
    struct buf batch; // the one that is sent, to each partition of a request
    int32_t records;  // in it
    int32_t spread;   // partitions of a request; 1 unless keyed
    struct buf rest;  // the last one of a bounded load, when it is shorter
    int32_t rest_records;
    uint64_t requests_max; // 0: no bound
    bool stamped;    // the due time is written into each batch's record
    size_t stamp_at; // where
    uint32_t client_next;
    double interval_ns; // between requests, 0: flat out
    uint64_t begin_ns, measure_ns, end_ns;
    uint64_t due_index;
    struct shard_timer timer;
    struct perf_slot *again, **again_end; // failed with --retry, in the order they were sent; nothing new goes meanwhile
    uint64_t again_ns;
    bool stopping;
    uint32_t in_flight;
    // measured
    uint64_t requests, records_sent, errors, retries;
    uint64_t answered_ns, pause_ns; // the last acknowledgement, and the longest time between two
    char error[160];
    struct histogram latency, lateness;
    struct histogram *window; // NULL, or gets every latency too; the owner empties it
    struct perf_usage self_before, server_before;
};

// Connects, makes the topic, builds the batch. Exit code.
int perf_load_open(struct perf_load *l);
// Sends until end_ns and waits for the answers.
void perf_load_run(struct perf_load *l);
void perf_load_close(struct perf_load *l);

// What a run came to.
struct perf_report {
    const char *kind; // "produce"
    double seconds;
    uint64_t requests, records, bytes, errors, retries, pause_ns;
    bool retrying; // the two before it mean something
    const char *error;
    const struct histogram *latency, *end_to_end, *lateness; // NULL: not measured
    struct perf_usage self_before, self_after, server_before, server_after;
};

void perf_report_print(struct cli *cli, const struct perf_report *r, bool as_json);

// The topic, made with so many partitions when it is not there. NULL after a message.
struct client_topic *perf_topic(struct cli *cli, struct client *client, const struct perf_options *o, bool create);
