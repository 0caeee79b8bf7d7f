// Qwen2's configuration, for families that have its decoder under other names.
#pragma once
#include "models/decoder.h"

namespace mynah {

DecoderConfig qwen2_config(const Json& json, const DecoderDefaults& defaults);

}  // namespace mynah
