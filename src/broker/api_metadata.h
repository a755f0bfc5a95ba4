// SPDX-License-Identifier: Apache-2.0
//
// The pure half of Metadata: from the image and a request to the answer.
#pragma once

#include "base/arena.h"
#include "broker/cluster_view.h"
#include "wire/messages.h"

// What a request asks for.
enum metadata_scope { METADATA_ALL, METADATA_BROKERS, METADATA_BY_NAME, METADATA_BY_ID };
enum metadata_scope metadata_scope_of(const struct metadata_request *in, int16_t version);

// RC_INVALID_REQUEST when version cannot carry what in holds: a null name or an id before 12.
enum rc metadata_request_check(const struct metadata_request *in, int16_t version);

// The names of in that the image does not have and that could be created, each once. At most *count of
// in->topics_count. Internal topics that nothing uses yet are left out. RC_NOMEM.
enum rc metadata_missing(const struct image *image, const struct metadata_request *in, struct arena *a,
                         struct bytes **out, uint32_t *count);

// The topic that t names, as scope says; NULL: there is none.
const struct image_topic *metadata_wanted_topic(const struct image *image, const struct metadata_request_topic *t,
                                                enum metadata_scope scope);

// Whom an answer will name as leaders, each once, but for self: *count nodes in memory of a. RC_NOMEM.
enum rc metadata_leaders(const struct image *image, const struct metadata_request *in, int16_t version, int32_t self,
                         struct arena *a, int32_t **out, uint32_t *count);

// The size of the answer's arrays, roughly and upwards.
size_t metadata_answer_bytes(const struct cluster_view *v, const struct metadata_request *in, int16_t version);

// Fills out. created, if not NULL, says what became of the names that were to be created. RC_NOMEM.
enum rc metadata_build(const struct cluster_view *v, const struct metadata_request *in, int16_t version,
                       const struct create_topics_response *created, struct arena *a, struct metadata_response *out);
// The answer to a request that failed as a whole: its topics, each with that error.
enum rc metadata_build_error(const struct metadata_request *in, enum rc error, struct arena *a,
                             struct metadata_response *out);
