// Pulling with what a person wants to see: the plan first, then progress.
#pragma once
#include <string>

#include "store/store.h"

namespace mynah::app {

// Says source, size and licence on stderr, then pulls with a progress bar. Ctrl-C ends it; what has come stays for the next try.
store::Model pull_with_progress(const store::Store& store, const std::string& name, bool insecure, bool quiet);

}  // namespace mynah::app
