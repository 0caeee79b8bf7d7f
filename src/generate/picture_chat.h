// Chats and prompts with pictures as a model takes them.
#pragma once
#include <functional>
#include <span>
#include <string>

#include "base/json.h"
#include "media/image.h"
#include "mynah/generate.h"
#include "nn/model.h"

namespace mynah::generation {

// Rows for generate() out of a processor's tensors: ids and masks, and what else the model reads.
GenerateInputs as_inputs(nn::NamedTensors processed);

// Whether the model answers pictures.
bool sees(const Model& model);
// What becomes of the transparency of pictures before they are given here.
media::Alpha alpha_of(const Model& model);

// The inputs of a text with pictures: they stand where the text has the model's sign for pictures, or else before it.
GenerateInputs picture_prompt(const Model& model, std::string text, std::span<const media::Image> pictures);

// The inputs of a chat. Contents are texts or lists of {"type": "text", "text"} and {"type": "image"}, the latter in
// the order of `pictures`. `render` makes a prompt of messages; templates that do not know parts get texts with the
// model's sign for pictures. Models that know no chat answer the last message.
GenerateInputs picture_chat(const Model& model, const Json& messages, std::span<const media::Image> pictures,
                            const std::function<std::string(const Json&)>& render);

}  // namespace mynah::generation
