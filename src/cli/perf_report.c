// SPDX-License-Identifier: Apache-2.0
//
// What a run came to, for people and for scripts.
#include <stdio.h>

#include "base/assert.h"
#include "cli/perf.h"

static const struct {
    const char *name;
    double share;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};

static void histogram_json(struct json *j, const char *key, const struct histogram *h)
{
    if (!h)
        return;
    json_put_key(j, key);
    json_put_object(j);
    for (size_t i = 0; i < ARRAY_COUNT(quantiles); i++) {
        json_put_key(j, quantiles[i].name);
        json_put_real(j, (double)histogram_quantile(h, quantiles[i].share) / 1e3, 1);
    }
    json_put_key(j, "mean");
    json_put_real(j, h->count ? (double)h->sum / (double)h->count / 1e3 : 0, 1);
    json_put_object_end(j);
}

static void histogram_text(struct buf *out, const char *what, const struct histogram *h)
{
    if (!h || h->count == 0)
        return;
    buf_printf(out, "%-12s", what);
    for (size_t i = 0; i < ARRAY_COUNT(quantiles); i++)
        buf_printf(out, "  %s %.3f", quantiles[i].name, (double)histogram_quantile(h, quantiles[i].share) / 1e6);
    buf_printf(out, " ms\n");
}

struct cost {
    double cpu_s, per_gb, per_request_us;
};

static struct cost cost_of(const struct perf_report *r, const struct perf_usage *before, const struct perf_usage *after)
{
    struct cost c = {.cpu_s = after->cpu_s - before->cpu_s};
    c.per_gb = r->bytes ? c.cpu_s / ((double)r->bytes / 1e9) : 0;
    c.per_request_us = r->requests ? c.cpu_s * 1e6 / (double)r->requests : 0;
    return c;
}

static void cost_json(struct json *j, const char *key, const struct perf_report *r, const struct perf_usage *before,
                      const struct perf_usage *after)
{
    if (!before->known || !after->known)
        return;
    struct cost c = cost_of(r, before, after);
    json_put_key(j, key);
    json_put_object(j);
    json_put_key(j, "cpu_s");
    json_put_real(j, c.cpu_s, 2);
    json_put_key(j, "cpu_s_per_gb");
    json_put_real(j, c.per_gb, 3);
    json_put_key(j, "cpu_us_per_request");
    json_put_real(j, c.per_request_us, 2);
    json_put_key_int(j, "resident_bytes", after->resident_bytes);
    json_put_object_end(j);
}

static void cost_text(struct buf *out, const char *what, const struct perf_report *r, const struct perf_usage *before,
                      const struct perf_usage *after)
{
    if (!before->known || !after->known)
        return;
    struct cost c = cost_of(r, before, after);
    buf_printf(out, "%-12s  %.2f CPU s (%.0f %% of a core), %.3f CPU s/GB, %.2f us/request, %.1f MiB resident\n", what,
               c.cpu_s, 100 * c.cpu_s / r->seconds, c.per_gb, c.per_request_us,
               (double)after->resident_bytes / (1 << 20));
}

static void report_json(struct cli *cli, const struct perf_report *r)
{
    struct json j;
    json_init(&j, &cli->out, true);
    json_put_object(&j);
    json_put_key_str(&j, "kind", r->kind);
    json_put_key(&j, "seconds");
    json_put_real(&j, r->seconds, 3);
    json_put_key_int(&j, "requests", (int64_t)r->requests);
    json_put_key_int(&j, "records", (int64_t)r->records);
    json_put_key_int(&j, "bytes", (int64_t)r->bytes);
    json_put_key_int(&j, "errors", (int64_t)r->errors);
    if (r->retrying) {
        json_put_key_int(&j, "retries", (int64_t)r->retries);
        json_put_key(&j, "longest_pause_ms");
        json_put_real(&j, (double)r->pause_ns / 1e6, 1);
    }
    json_put_key(&j, "mb_per_s");
    json_put_real(&j, (double)r->bytes / 1e6 / r->seconds, 2);
    json_put_key(&j, "records_per_s");
    json_put_real(&j, (double)r->records / r->seconds, 1);
    json_put_key(&j, "requests_per_s");
    json_put_real(&j, (double)r->requests / r->seconds, 1);
    histogram_json(&j, "latency_us", r->latency);
    histogram_json(&j, "end_to_end_us", r->end_to_end);
    histogram_json(&j, "sent_late_us", r->lateness);
    cost_json(&j, "client", r, &r->self_before, &r->self_after);
    cost_json(&j, "server", r, &r->server_before, &r->server_after);
    json_put_object_end(&j);
    buf_append(&cli->out, "\n", 1);
}

void perf_report_print(struct cli *cli, const struct perf_report *r, bool as_json)
{
    struct buf *out = &cli->out;
    if (as_json) {
        report_json(cli, r);
        return;
    }
    buf_printf(out, "%-12s  %.1f MB/s, %.0f records/s, %.0f requests/s over %.1f s\n", r->kind,
               (double)r->bytes / 1e6 / r->seconds, (double)r->records / r->seconds, (double)r->requests / r->seconds,
               r->seconds);
    histogram_text(out, "answered", r->latency);
    histogram_text(out, "end to end", r->end_to_end);
    histogram_text(out, "sent late", r->lateness);
    cost_text(out, "client", r, &r->self_before, &r->self_after);
    cost_text(out, "server", r, &r->server_before, &r->server_after);
    if (r->retrying)
        buf_printf(out, "retried       %llu requests; longest pause between two answers %.1f ms\n",
                   (unsigned long long)r->retries, (double)r->pause_ns / 1e6);
    if (r->errors)
        buf_printf(out, "errors        %llu, the first: %s\n", (unsigned long long)r->errors, r->error);
}
