#include "store/shipped.h"

namespace mynah::store {
namespace fs = std::filesystem;

fs::path shipped_models() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (const fs::path& folder : {program.parent_path() / MYNAH_MODELS_FROM_PROGRAM, fs::path(MYNAH_MODELS_OF_TREE), fs::path(MYNAH_MODELS_INSTALLED)})
    if (fs::is_directory(folder, error)) return folder.lexically_normal();
  return {};
}

fs::path shipped_file(const CatalogueEntry& entry) {
  const fs::path folder = entry.shipped ? shipped_models() : fs::path();
  std::error_code error;
  return !folder.empty() && fs::is_regular_file(folder / entry.shipped, error) ? folder / entry.shipped : fs::path();
}

}  // namespace mynah::store
