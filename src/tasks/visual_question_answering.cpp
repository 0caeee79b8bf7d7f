// visual-question-answering: a question about a picture.
#include "base/require.h"
#include "tasks/image_text.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

std::vector<Json> run_visual_question_answering(const t::OpenTask& task, const std::vector<Json>& inputs, const Json&) {
  const GenerationConfig config =
      t::answer_config(task, Json::object());  // the reference's pipeline passes no settings on
  const bundle::TextImageProcessor processor(task.bundle().path, task.bundle().tokenizer);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const std::string question = t::question_of(task, input);
    const media::Image picture = t::read_picture(task, input["image"], processor.alpha());
    Json records = Json::array();
    for (const auto& sequence :
         generate(task.model, generation::as_inputs(processor({question}, {&picture, 1})),
                  config)
             .sequences)
      records.push_back({{"answer", t::trimmed(task.tokenizer().decode(sequence))}});
    results.push_back(std::move(records));
  }
  return results;
}

}  // namespace

extern const TaskEntry task_visual_question_answering{
    .name = "visual-question-answering",
    .aliases = {"vqa"},
    .help = "a question about a picture",
    .input = "PICTURE",
    .reads_json = t::is_picture_question,
    .heads = {nn::HeadKind::image_text},
    .options = {{"question", t::OptionType::texts, "what is asked"},
                t::kImageOption,
                {"padding", t::OptionType::json, "accepted: questions go one by one"},
                {"truncation", t::OptionType::json, "accepted: questions are taken whole"},
                t::kTimeoutOption},
    .generates = true,
    .suggestion = "good ones to pull: Salesforce/blip-vqa-base",
    .run = run_visual_question_answering,
    .inputs = t::picture_questions,
    .show = t::show_picture_answers,
    .medium = t::Medium::picture};

}  // namespace mynah
