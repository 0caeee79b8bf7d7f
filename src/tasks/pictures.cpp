#include "tasks/pictures.h"

#include <filesystem>
#include <span>

#include "base/require.h"
#include "mynah/autograd.h"
#include "tasks/options.h"
#include "text/base64.h"

namespace mynah::tasks {
namespace {

constexpr std::string_view kData = "data:";

bool is_data(const std::string& text) { return text.starts_with(kData); }

}  // namespace

std::vector<Json> picture_inputs(const Json& inputs, const Json& options, bool* one) {
  Json all = inputs;
  if (all.is_null()) {
    const std::vector<std::string> names = texts(options, "image");
    if (names.empty()) fail(ErrorCode::usage, "give a picture: its path as input");
    all = names.size() == 1 ? Json(names[0]) : Json(names);
  }
  *one = !all.is_array();
  return all.is_array() ? all.get<std::vector<Json>>() : std::vector<Json>{std::move(all)};
}

media::Image read_picture(const OpenTask& task, const Json& input, media::Alpha alpha) {
  if (!input.is_string()) fail(ErrorCode::failure, "{}: an input is {}, expected the path of a picture", task.entry->name, input.dump());
  const std::string& text = input.get_ref<const std::string&>();
  if (text.starts_with("http://") || text.starts_with("https://"))
    fail(ErrorCode::usage, "{}: {}: pictures are not fetched; download it and give its path", task.entry->name, text);
  std::error_code error;
  if (!is_data(text) && std::filesystem::exists(text, error)) {
    if (!std::filesystem::is_regular_file(text, error)) fail(ErrorCode::failure, "{}: {}: not a file, expected a picture", task.entry->name, text);
    return media::read_image(text, alpha);
  }
  const size_t comma = is_data(text) ? text.find(',') : std::string::npos;
  const std::string_view encoded = std::string_view(text).substr(comma == std::string::npos ? 0 : comma + 1);
  const auto bytes = text::decode_base64(encoded);
  // A wrong path is no base64, and short ones that are hold no picture.
  if (!is_data(text) && (!bytes || text.size() < 64)) fail(ErrorCode::not_found, "{}: {}: no such file", task.entry->name, text);
  if (!bytes) fail(ErrorCode::failure, "{}: the picture is not base64", task.entry->name);
  return media::decode_image(std::as_bytes(std::span(*bytes)), fmt::format("{}: the picture", task.entry->name), alpha);
}

nn::NamedTensors look(const OpenTask& task, const media::Image& picture, const nn::NamedTensors& more) {
  NoGrad no_grad;
  nn::NamedTensors inputs = (*task.image_processor)({&picture, 1});
  for (const auto& [name, tensor] : more) inputs[name] = tensor;
  return task.bundle().network->forward(inputs, {});
}

std::string picture_name(const Json& input) {
  if (!input.is_string()) return "the picture";
  const auto& text = input.get_ref<const std::string&>();
  return is_data(text) || text.size() > 4096 ? "the picture" : text;
}

}  // namespace mynah::tasks
