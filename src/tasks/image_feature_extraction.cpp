// image-feature-extraction: what a network without a head makes of a picture.
#include "base/require.h"
#include "tasks/nested.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

std::vector<Json> run_image_feature_extraction(const t::OpenTask& given, const std::vector<Json>& inputs, const Json& options) {
  t::OpenTask task = given;
  if (const auto it = options.find("image_processor_kwargs"); it != options.end() && !it->is_null()) {
    if (!it->is_object()) fail(ErrorCode::usage, "image-feature-extraction: image_processor_kwargs is {}, expected an object", it->dump());
    task.image_processor = std::make_shared<const bundle::ImageProcessor>(task.image_processor->changed(*it));
  }
  const bool pool = t::boolean(options, "pool", false);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const nn::NamedTensors outputs = t::look(task, t::read_picture(task, input));
    const char* name = pool ? "pooler_output" : "last_hidden_state";
    const auto found = outputs.find(name);
    require(found != outputs.end(), "image-feature-extraction: {} gives no {}{}", task.bundle().architecture(), name, pool ? "; leave out pool" : "");
    results.push_back(t::nested(found->second));
  }
  return results;
}

std::string show_image_feature_extraction(const Json& input, const Json& result, const t::Style& style) {
  std::string shape;
  const Json* first = &result;
  for (; first->is_array() && !first->empty(); first = &(*first)[0]) shape += fmt::format("{}{}", shape.empty() ? "" : " x ", first->size());
  std::string out = fmt::format("{}: {} numbers\n", t::emphasised(t::picture_name(input), style), shape);
  const Json* row = &result;
  while ((*row)[0].is_array()) row = &(*row)[0];
  for (size_t i = 0; i < std::min<size_t>(row->size(), 8); ++i) out += fmt::format(" {:9.4f}", (*row)[i].get<double>());
  return out + (row->size() > 8 ? " ...\n" : "\n");
}

}  // namespace

extern const TaskEntry task_image_feature_extraction{
    .name = "image-feature-extraction",
    .help = "the hidden states of a picture",
    .input = "PICTURE",
    .heads = {nn::HeadKind::bare},
    .options = {{"pool", t::OptionType::boolean, "one vector for the picture"},
                {"image_processor_kwargs", t::OptionType::json, "settings of the image processor: {\"size\": {\"height\": 100, \"width\": 100}}"},
                {"return_tensors", t::OptionType::boolean, "accepted: numbers are the only output"},
                t::kImageOption,
                t::kTimeoutOption},
    .suggestion = "good ones to pull: facebook/dinov2-small, google/vit-base-patch16-224",
    .run = run_image_feature_extraction,
    .inputs = t::picture_inputs,
    .show = show_image_feature_extraction,
    .medium = t::Medium::picture};

}  // namespace mynah
