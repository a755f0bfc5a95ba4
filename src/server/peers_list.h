// SPDX-License-Identifier: Apache-2.0
//
// --peers ID@HOST:PORT,... (or controller.quorum.voters): where the nodes of the cluster are to be looked for, and where
// this one listens for them.
#pragma once

#include "engine/peers.h"
#include "server/settings.h"

struct peers_list {
    struct peer_address at[PEERS_MAX]; // rising by id
    uint32_t count;                    // 0: none was given
    const struct peer_address *self;
    struct io_addr listen; // the own entry's address, or every address when that is not this machine's
};

// Reads `list` (NULL or empty: none), given as `what`, for node `self`; what is wrong goes to s->problems. Names are
// looked up here, once.
void peers_list_read(struct settings *s, struct io *io, const char *what, const char *list, int32_t self,
                     struct peers_list *out);
// True when controller.quorum.bootstrap.servers names one place only, and that is this node's own controller listener
// (controller.listener.names, listeners): Kafka's stock file for a node by itself.
bool peers_list_bootstrap_is_self(const struct config_layers *layers);
