#include "train/memory.h"

#include <fstream>
#include <string>

#include "base/progress.h"
#include "base/require.h"

namespace mynah::train {
namespace {

// /proc/meminfo's MemTotal in bytes; 0 where there is none.
int64_t memory_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;)
    if (int64_t kilobytes; word == "MemTotal:" && file >> kilobytes) return kilobytes * 1024;
  return 0;
}

int64_t bytes(const NamedParameters& tensors) {
  int64_t n = 0;
  for (const auto& [name, tensor] : tensors) n += static_cast<int64_t>(tensor.nbytes());
  return n;
}

}  // namespace

void check_memory(const NamedParameters& parameters, const NamedParameters& optimizer_state) {
  const int64_t weights = bytes(parameters), state = bytes(optimizer_state), total = memory_bytes(), need = 2 * weights + state;
  if (total > 0 && need > total)
    fail(ErrorCode::does_not_fit,
         "training: weights {}, gradients {} and optimiser {} need {}, the machine has {}; use --lora-r, --optim sgd or a smaller model", format_bytes(weights),
         format_bytes(weights), format_bytes(state), format_bytes(need), format_bytes(total));
}

}  // namespace mynah::train
