// Pictures to model inputs and through the network, for tasks that look at them.
#pragma once
#include <string>
#include <vector>

#include "media/image.h"
#include "tasks/task_entry.h"

namespace mynah::tasks {

// The option that names pictures beside the inputs, and the one that the reference has for fetching, which is not done here.
inline constexpr TaskOption kImageOption{"image", OptionType::texts, "a picture, as INPUT"};
inline constexpr TaskOption kTimeoutOption{"timeout", OptionType::number, "accepted: nothing is fetched"};

// Inputs of a task: paths, or the option "image" without them.
std::vector<Json> picture_inputs(const Json& inputs, const Json& options, bool* one);

// The picture that an input stands for, upright RGB: a path, "data:image/...;base64,...", or base64 alone. Throws not_found; usage
// for an address, which is not fetched; failure for anything else.
media::Image read_picture(const OpenTask& task, const Json& input, media::Alpha alpha = media::Alpha::dropped);

// The network's outputs for one picture, `more` being its other inputs.
nn::NamedTensors look(const OpenTask& task, const media::Image& picture, const nn::NamedTensors& more = {});

// What a person calls an input: its path, or "the picture" for bytes.
std::string picture_name(const Json& input);

}  // namespace mynah::tasks
