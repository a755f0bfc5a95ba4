// SPDX-License-Identifier: Apache-2.0
//
// From listeners, advertised.listeners and --advertise to addresses: where to listen, what to tell clients.
#pragma once

#include "broker/broker.h"
#include "server/settings.h"

// Fills config->listeners from the settings in force. Problems go to s: an unknown protocol, an address that is not
// of this machine, nothing that could be advertised (0.0.0.0 and :: never are). False when there are any.
bool listeners_resolve(struct settings *s, struct io *io, const struct config_layers *layers,
                       const char *peer_host, struct broker_config *config);
