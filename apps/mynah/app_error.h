// The edge where errors become a line on stderr and an exit code.
#pragma once
#include <exception>

namespace mynah::app {

// Prints "mynah: ..." and returns the exit code of the contract.
int report(const std::exception& error);

}  // namespace mynah::app
