// Models inside models: the text model or the image tower that one part of a config describes, made by the family it
// names.
#pragma once
#include <memory>
#include <string_view>

#include "base/json.h"
#include "nn/causal_lm.h"
#include "nn/model.h"
#include "nn/weights.h"

namespace mynah {

// The part `key` of a config, with `model_type` where it names none. Throws failure if it is there and no object.
Json config_part(const Json& config, const char* key, const char* model_type);

// The causal language model of `part`'s family. Throws failure for a family that has none.
std::unique_ptr<nn::Model> make_text_model(const Json& part, const nn::Weights& w);
// The bare model of an image family: outputs last_hidden_state [B,T,C] and hidden_states.N. Throws failure for one that
// is not known.
std::unique_ptr<nn::Model> make_image_tower(const Json& part, const nn::Weights& w);

}  // namespace mynah
