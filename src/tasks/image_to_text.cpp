// image-to-text: a caption, or what a picture of text says.
#include "base/require.h"
#include "tasks/image_text.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

std::vector<Json> run_image_to_text(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const GenerationConfig config = t::answer_config(task, options);
  const bundle::TextImageProcessor processor(task.bundle().path, task.bundle().tokenizer);
  std::vector<std::string> prompts;
  if (const auto prompt = t::text(options, "prompt")) prompts.push_back(*prompt);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const media::Image picture = t::read_picture(task, input, processor.alpha());
    Json records = Json::array();
    for (const auto& sequence :
         generate(task.model, generation::as_inputs(processor(prompts, {&picture, 1})), config).sequences)
      records.push_back({{"generated_text", task.tokenizer().decode(sequence)}});
    results.push_back(std::move(records));
  }
  return results;
}

std::string show_image_to_text(const Json& input, const Json& result, const t::Style& style) {
  std::string text = t::emphasised(t::picture_name(input), style) + "\n";
  for (const Json& record : result) text += record["generated_text"].get<std::string>() + "\n";
  return text;
}

}  // namespace

extern const TaskEntry task_image_to_text{
    .name = "image-to-text",
    .help = "a caption, or what a picture of text says",
    .input = "PICTURE",
    .heads = {nn::HeadKind::image_text},
    .options = {{"prompt", t::OptionType::text, "what the caption begins with"}, t::kImageOption, t::kTimeoutOption},
    .generates = true,
    .suggestion = "good ones to pull: nlpconnect/vit-gpt2-image-captioning, Salesforce/blip-image-captioning-base",
    .run = run_image_to_text,
    .inputs = t::picture_inputs,
    .show = show_image_to_text,
    .medium = t::Medium::picture};

}  // namespace mynah
