// text-generation: a text or a chat goes on. As transformers' pipeline: 256 new tokens drawn at temperature 0.7, unless asked otherwise.
#include <algorithm>

#include "base/require.h"
#include "generate/config.h"
#include "mynah/generate.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

GenerationConfig config_of(const t::OpenTask& task, const Json& options) {
  GenerationConfig c = generation_defaults(task.model);
  // The pipeline's own settings come before the model's; a model's own total length before the pipeline's number of tokens.
  if (!c.max_length || *c.max_length == 20) c.max_new_tokens = 256;
  c.do_sample = true;
  c.temperature = 0.7f;
  generation::apply(t::generation_settings(*task.entry, options), &c, true);
  return c;
}

// The prompt's ids of one input; `continues`: the answer goes on with the chat's last message.
std::vector<int32_t> prompt_ids(const t::OpenTask& task, const Json& input, const Json& options, bool continues) {
  if (!t::is_chat(input)) {
    EncodeOptions cut;
    if (t::has(options, "max_length")) {  // also cuts the prompt, as the reference does
      cut.truncation = Truncation::longest_first;
      cut.max_length = t::integer(options, "max_length", 0, 1);
    }
    return task.tokenizer().encode_windows(t::text(options, "prefix").value_or("") + input.get<std::string>(), cut)[0].ids;
  }
  require(task.bundle().chat_template != nullptr, "text-generation: the model has no chat template; give a text");
  std::string text = bundle::render_chat(task.bundle(), input, nullptr, !continues);
  if (continues) {
    const std::string last = input.back()["content"].get<std::string>();
    const size_t at = text.rfind(last);
    require(at != std::string::npos, "text-generation: the chat template does not show_text_generation the last message as it is; continue_final_message cannot be");
    text.resize(at + last.size());
  }
  return task.tokenizer().encode_ids(text, false, true);
}

// "hole": a prompt that leaves no room for the new tokens loses its beginning.
void make_room(const t::OpenTask& task, const Json& options, const GenerationConfig& config, std::vector<int32_t>* ids) {
  const auto how = t::text(options, "handle_long_generation");
  if (!how) return;
  if (*how != "hole") fail(ErrorCode::usage, "text-generation: handle_long_generation is \"{}\", expected \"hole\"", *how);
  const auto length = static_cast<int64_t>(ids->size()), most = task.tokenizer().model_max_length().value_or(INT64_MAX);
  const int64_t fresh = config.max_new_tokens ? *config.max_new_tokens : std::max<int64_t>(config.max_length.value_or(20) - length, 0);
  if (length + fresh <= most) return;
  if (most <= fresh) fail(ErrorCode::usage, "text-generation: {} new tokens leave no room for a prompt, the model holds {}", fresh, most);
  ids->erase(ids->begin(), ids->end() - (most - fresh));
}

std::vector<Json> run_text_generation(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  GenerationConfig config = config_of(task, options);
  if (const auto stop = t::text(options, "stop_sequence")) {
    const auto ids = task.tokenizer().encode_ids(*stop, false);
    if (ids.empty()) fail(ErrorCode::usage, "text-generation: stop_sequence is empty");
    config.eos_token_id = {ids[0]};
  }
  const bool skip = t::boolean(options, "skip_special_tokens", true);
  const Tokenizer& tokenizer = task.tokenizer();
  const bool tokens = t::boolean(options, "return_tensors", false), full = t::boolean(options, "return_full_text", true),
             clean = t::boolean(options, "clean_up_tokenization_spaces", true);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    if (!input.is_string() && !t::is_chat(input)) t::refuse_input(task, input, "a text or a list of messages");
    const bool continues = t::is_chat(input) && t::boolean(options, "continue_final_message", input.back()["role"] == "assistant");
    GenerateInputs in;
    in.input_ids = {prompt_ids(task, input, options, continues)};
    make_room(task, options, config, &in.input_ids[0]);
    const bool empty = in.input_ids[0].empty();  // the answer then begins with the token that begins texts
    if (empty) {
      require(config.bos_token_id.has_value(), "text-generation: an empty prompt needs a bos_token_id, and the model names none");
      in.input_ids[0] = {*config.bos_token_id};
    }
    in.attention_mask = {std::vector<int32_t>(in.input_ids[0].size(), 1)};
    const std::string prompt = empty ? "" : tokenizer.decode(in.input_ids[0], skip, clean);
    Json records = Json::array();
    for (const auto& sequence : generate(task.model, in, config).sequences) {
      if (tokens) {
        records.push_back({{"generated_token_ids", sequence}});
        continue;
      }
      const std::string text = tokenizer.decode(sequence, skip, clean), answer = text.substr(std::min(prompt.size(), text.size()));
      if (!full) records.push_back({{"generated_text", answer}});
      else if (input.is_string()) records.push_back({{"generated_text", input.get<std::string>() + answer}});
      else {
        Json chat = input;
        if (continues) chat.back()["content"] = chat.back()["content"].get<std::string>() + answer;
        else chat.push_back({{"role", "assistant"}, {"content", answer}});
        records.push_back({{"generated_text", chat}});
      }
    }
    results.push_back(std::move(records));
  }
  return results;
}

std::vector<Json> text_generation_listed(const Json& given, const Json&, bool* one) {
  *one = !given.is_array() || t::is_chat(given);
  if (*one) return {given};
  return given.get<std::vector<Json>>();
}

std::string show_text_generation(const Json& input, const Json& result, const t::Style& style) {
  std::string text;
  for (const Json& record : result) {
    if (!record.contains("generated_text")) text += record.dump() + "\n";
    else if (const Json& said = record["generated_text"]; said.is_array()) text += said.back()["content"].get<std::string>() + "\n";
    else if (const std::string all = said.get<std::string>(); input.is_string() && all.starts_with(input.get<std::string>()))
      text += t::dimmed(input.get<std::string>(), style) + all.substr(input.get<std::string>().size()) + "\n";
    else text += all + "\n";
  }
  return text;
}

}  // namespace

extern const TaskEntry task_text_generation{
    .name = "text-generation",
    .help = "a text or a chat goes on",
    .input = "TEXT, or a JSON list of messages",
    .reads_json = t::is_chat,
    .heads = {nn::HeadKind::causal_lm, nn::HeadKind::bare},
    .options = {{"return_full_text", t::OptionType::boolean, "the prompt too (true)"},
                {"return_tensors", t::OptionType::boolean, "token ids instead of text"},
                {"clean_up_tokenization_spaces", t::OptionType::boolean, "join punctuation to the word before (true)"},
                {"prefix", t::OptionType::text, "put before the prompt"},
                {"skip_special_tokens", t::OptionType::boolean, "leave special tokens out of the text (true)"},
                {"stop_sequence", t::OptionType::text, "end with its first token"},
                {"handle_long_generation", t::OptionType::text, "\"hole\": cut the beginning of a prompt that leaves no room"},
                {"continue_final_message", t::OptionType::boolean, "go on with the last message of a chat (if it is the assistant's)"}},
    .generates = true,
    .default_model = "smollm2",
    .suggestion = "good ones to pull: HuggingFaceTB/SmolLM2-360M-Instruct, Qwen/Qwen2.5-0.5B-Instruct",
    .run = run_text_generation,
    .inputs = text_generation_listed,
    .show = show_text_generation,
};

}  // namespace mynah
