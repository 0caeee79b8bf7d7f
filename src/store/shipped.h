// Models that come with the program: files of the folder `models`, in the source tree and in an installation.
#pragma once
#include <filesystem>

#include "store/catalogue.h"

namespace mynah::store {

// The folder of this program's models: beside an installed program, else in the tree it was built from, else where the
// library was to be installed. Empty when there is none of them.
std::filesystem::path shipped_models();

// The file of an entry that comes with the program; empty when the entry is none, or the file is not there.
std::filesystem::path shipped_file(const CatalogueEntry& entry);

}  // namespace mynah::store
