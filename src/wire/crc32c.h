// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli), the checksum of record batches. ISA-L has it too, but Debian ships no static archive of it and
// the executable may load nothing but libc. Pure; any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

// The checksum of what `crc` was computed over, followed by n more bytes. Begin with 0.
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

// The same by table, four bits at a time: for processors without the instruction, and what tests hold the fast one
// against.
uint32_t crc32c_plain(uint32_t crc, const void *p, size_t n);
