// Before a byte of the file is looked at: no more files, no network, no other programs, and only so much memory and time.
#pragma once
#include <cstdint>

namespace mynah::media_helper {

// False where the system refuses a part of it.
bool enter_sandbox(uint64_t memory_bytes, uint64_t processor_seconds);

}  // namespace mynah::media_helper
