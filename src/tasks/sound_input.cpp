#include "tasks/sound_input.h"

#include <span>

#include "base/require.h"
#include "text/base64.h"

namespace mynah::tasks {

bool is_sound(const Json& value) { return value.is_object() && value.contains("sampling_rate") && (value.contains("array") || value.contains("raw")); }

media::Sound sound_of(const OpenTask& task, const Json& input) {
  if (input.is_string()) {
    const std::string& text = input.get_ref<const std::string&>();
    const size_t comma = text.starts_with("data:") ? text.find(',') : std::string::npos;
    if (comma == std::string::npos) return media::read_sound(text, media::Mix::power);
    const auto bytes = text::decode_base64(std::string_view(text).substr(comma + 1));
    if (!bytes) fail(ErrorCode::failure, "{}: the sound is not base64", task.entry->name);
    return media::decode_sound(std::as_bytes(std::span(*bytes)), fmt::format("{}: the sound", task.entry->name), media::Mix::power);
  }
  if (!is_sound(input)) fail(ErrorCode::usage, "{}: the input is {}, expected the path of a sound, or {{\"array\": [...], \"sampling_rate\": N}}", task.entry->name, input.type_name());
  const Json& rate = input["sampling_rate"];
  if (!rate.is_number_integer() || rate.get<int64_t>() < 1 || rate.get<int64_t>() > 768'000) fail(ErrorCode::usage, "{}: sampling_rate is {}, expected Hz", task.entry->name, rate.dump());
  const Json& samples = input.contains("raw") ? input["raw"] : input["array"];
  media::Sound out{rate.get<int64_t>(), {}};
  if (!samples.is_array()) fail(ErrorCode::usage, "{}: the samples are {}, expected an array", task.entry->name, samples.type_name());
  for (const Json& s : samples) {
    if (!s.is_number()) fail(ErrorCode::usage, "{}: the samples hold {}, expected numbers", task.entry->name, s.type_name());
    out.samples.push_back(s.get<float>());
  }
  return out;
}

}  // namespace mynah::tasks
