// SPDX-License-Identifier: Apache-2.0
//
// Kafka's names for the levels of metadata.version, from the least to the most this program writes and reads, and which
// of them changed what the metadata holds: a level is given up again only where none in between did. Data only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FEATURE_METADATA_VERSION "metadata.version"
#define FEATURE_GROUP_VERSION "group.version"

enum { METADATA_VERSION_MIN = 7, METADATA_VERSION_MAX = 25 };          // Kafka's numbers: 3.3-IV3 to 4.0-IV3
enum { GROUP_VERSION_MAX = 1, GROUP_VERSION_METADATA_VERSION = 22 }; // with which Kafka has it on

// "4.0-IV3"; NULL for a level there is none of.
const char *feature_metadata_name(int16_t level);
// The level of "4.0-IV3", "4.0" (the last of that release) or "4.0.1"; 0: none.
int16_t feature_metadata_level(const char *name);
// Whether a level in (low, high] changed what the metadata holds.
bool feature_metadata_changed(int16_t low, int16_t high);
