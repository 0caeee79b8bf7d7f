// Llama's configuration, for families that have its decoder under other names.
#pragma once
#include "models/decoder.h"

namespace mynah {

DecoderConfig llama_config(const Json& json);

}  // namespace mynah
