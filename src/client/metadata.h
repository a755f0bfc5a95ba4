// SPDX-License-Identifier: Apache-2.0
//
// The client's metadata cache: private to the client room.
#pragma once

#include "client/client.h"

struct client_node *client_node_add(struct client *c, int32_t id, const char *host, uint16_t port);
struct client_node *client_node_any(struct client *c);

// Takes over brokers, controller and the topics of an answer. RC_NOMEM.
enum rc metadata_take(struct client *c, const struct metadata_response *answer);
// When every connection has been closed.
void metadata_deinit(struct client *c);
