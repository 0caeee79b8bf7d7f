// Result<T>: an expected outcome that may be an absence or a refusal, returned rather than thrown.
#pragma once
#include <tl/expected.hpp>

#include "mynah/error.h"

namespace mynah {
template <class T>
using Result = tl::expected<T, Error>;
}
