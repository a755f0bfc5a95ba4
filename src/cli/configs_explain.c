// SPDX-License-Identifier: Apache-2.0
//
// Sorts a name: a key of topics, of brokers or of both; an old name with what replaced it; or unknown, with the
// nearest.
#include "cli/configs_explain.h"

#include <stdio.h>

#include "base/trace.h"
#include "cli/suggest.h"

enum { NAME_TEXT_BYTES = 160, NEAREST_MAX = 2 };

void explain_table(struct explain_context *c, struct table *t, const char *name)
{
    char titles[NAME_TEXT_BYTES + 8];
    if (c->tables++)
        buf_printf(c->out, "\n");
    snprintf(titles, sizeof(titles), "KEY|%s", name);
    // What somebody typed may hold the sign that separates titles; no key does.
    for (char *p = titles + 4; *p; p++)
        if (*p == '|')
            *p = '?';
    table_init(t, c->arena, titles);
}

struct old_words {
    const char *status; // in JSON
    const char *is;
    bool read; // weir takes the name
};

static struct old_words old_words(enum config_old_kind kind)
{
    switch (kind) {
    case CONFIG_OLD_ALIAS:
        return (struct old_words){"alias", "an older name that is still read", true};
    case CONFIG_OLD_MAPPED:
        return (struct old_words){"mapped", "an older setting that is still read", true};
    case CONFIG_OLD_ZOOKEEPER:
        return (struct old_words){"zookeeper", "a setting of ZooKeeper's times", false};
    case CONFIG_OLD_REMOVED:
        return (struct old_words){"removed", "not a key any more", false};
    case CONFIG_OLD_MISSPELT:
        return (struct old_words){"misspelt", "not a key, but often written", false};
    case CONFIG_OLD_CLIENT:
        break;
    }
    return (struct old_words){"client", "a setting of clients, not of brokers or topics", false};
}

// The keys that may have been meant, at most NEAREST_MAX different names: the nearest of topics and of brokers, unless
// one of them is clearly nearer.
static size_t nearest_keys(const char *name, const char *out[NEAREST_MAX])
{
    const struct config_key *topic = config_nearest(CONFIG_TOPIC, name), *broker = config_nearest(CONFIG_BROKER, name);
    size_t n = 0;
    size_t topic_edits = topic ? suggest_distance(name, topic->name) : SIZE_MAX;
    size_t broker_edits = broker ? suggest_distance(name, broker->name) : SIZE_MAX;
    if (topic && topic_edits <= broker_edits)
        out[n++] = topic->name;
    if (broker && broker_edits <= topic_edits && !(n && strcmp(out[0], broker->name) == 0))
        out[n++] = broker->name;
    return n;
}

static const char *key_text(const char *name)
{
    const struct config_key *key = config_find(CONFIG_TOPIC, name);
    if (!key)
        key = config_find(CONFIG_BROKER, name);
    return key ? key->text : NULL;
}

static void name_row(struct table *t, const char *label, const char *name)
{
    const char *text = key_text(name);
    table_cell(t, "%s", label);
    table_cell(t, text ? "%s: %s" : "%s", name, text);
}

// ------------------------------------------------------------------------------------------------ JSON

static void json_head(struct json *j, const char *name, const char *status, const char *explanation,
                      const char *instead)
{
    json_put_object(j);
    json_put_key_str(j, "name", name);
    json_put_key_str(j, "status", status);
    json_put_key_str(j, "explanation", explanation);
    json_put_key_str(j, "instead", instead);
}

// The members that names which are no keys have empty, so that scripts find every member always.
static void json_tail(struct json *j, const char *const *nearest, size_t nearest_count)
{
    json_put_key(j, "nearest");
    json_put_array(j);
    for (size_t i = 0; i < nearest_count; i++)
        json_put_text(j, bytes_str(nearest[i]));
    json_put_array_end(j);
    json_put_key(j, "scopes");
    json_put_array(j);
}

static void json_end(struct json *j)
{
    json_put_array_end(j);
    json_put_object_end(j);
}

// ------------------------------------------------------------------------------------------------ names

static bool explain_old(struct explain_context *c, const char *name, const struct config_old *old)
{
    struct old_words words = old_words(old->kind);
    struct table t;
    char quoted[NAME_TEXT_BYTES];
    if (c->json) {
        json_head(c->json, name, words.status, old->text, old->instead);
        json_tail(c->json, NULL, 0);
        json_end(c->json);
        return words.read;
    }
    explain_table(c, &t, trace_quote(quoted, sizeof(quoted), bytes_str(name)));
    table_cell(&t, "is");
    table_cell(&t, "%s", words.is);
    table_cell(&t, "in weir");
    table_cell(&t, "%s: %s", words.read ? "read" : "refused", old->text);
    if (old->instead)
        name_row(&t, "instead", old->instead);
    table_print(&t, c->out);
    return words.read;
}

static void explain_unknown(struct explain_context *c, const char *name)
{
    const char *nearest[NEAREST_MAX];
    size_t n = nearest_keys(name, nearest);
    struct table t;
    char quoted[NAME_TEXT_BYTES];
    if (c->json) {
        json_head(c->json, name, "unknown", NULL, NULL);
        json_tail(c->json, nearest, n);
        json_end(c->json);
        return;
    }
    explain_table(c, &t, trace_quote(quoted, sizeof(quoted), bytes_str(name)));
    table_cell(&t, "is");
    table_cell(&t, "not a key of topics or of brokers");
    table_cell(&t, "in weir");
    table_cell(&t, "refused");
    for (size_t i = 0; i < n; i++)
        name_row(&t, "nearest", nearest[i]);
    table_print(&t, c->out);
}

bool explain_name(struct explain_context *c, const char *name)
{
    const struct config_key *topic = config_find(CONFIG_TOPIC, name);
    const struct config_key *broker = config_find_setting(CONFIG_BROKER, name);
    struct config_key of_listener;
    if (broker && strcmp(broker->name, name) != 0) { // listener.name.NAME.KEY: the row of KEY, and a value of its own
        of_listener = *broker;
        of_listener.name = name;
        broker = &of_listener;
    }
    if (!topic && !broker) {
        const struct config_old *old = config_old_find(name);
        if (old)
            return explain_old(c, name, old);
        explain_unknown(c, name);
        return false;
    }
    if (c->json) {
        json_head(c->json, name, "key", NULL, NULL);
        json_tail(c->json, NULL, 0);
    }
    if (topic)
        explain_key(c, CONFIG_TOPIC, topic);
    if (broker)
        explain_key(c, CONFIG_BROKER, broker);
    if (c->json)
        json_end(c->json);
    return true;
}
