// mynah generate MODEL (--input x.safetensors | --prompt TEXT | TEXT): token ids out, as transformers' generate() returns them.

#include "base/require.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "formats/safetensors.h"
#include "generation_options.h"
#include "mynah/json.h"
#include "nn/inputs.h"
#include "open_model.h"
#include "standard_input.h"
#include "tasks/speech_text.h"

namespace mynah::app {
namespace {

struct GenerateOptions {
  std::string model, input, prompt;
  Precision precision = Precision::automatic;
  std::vector<std::string> words;
  bool json = false;
  GenerationOptions generation;
};

using Rows = std::vector<std::vector<int32_t>>;

// The rows of an input file; those that are absent are empty.
GenerateInputs read_inputs(const std::string& path) {
  const auto file = formats::SafetensorsFile::open(path);
  nn::NamedTensors ids, media;
  for (const auto& info : file->tensors()) {
    const bool text = info.name == "input_ids" || info.name == "decoder_input_ids" || info.name == "negative_prompt_ids" ||
                      (info.name == "attention_mask" && file->contains("input_ids"));
    (text ? ids : media)[info.name] = file->tensor(info.name);
  }
  const nn::Inputs in(ids, {"input_ids", "attention_mask", "decoder_input_ids", "negative_prompt_ids"});
  const auto rows = [&](const std::string& name) {
    Rows out;
    if (!in.has(name)) return out;
    const Shape shape = in.shape_of(name, 2, "[batch, tokens]");
    const auto values = in.integers(name, shape);
    for (int64_t b = 0; b < shape[0]; ++b) out.emplace_back(values.begin() + b * shape[1], values.begin() + (b + 1) * shape[1]);
    return out;
  };
  return {rows("input_ids"), rows("attention_mask"), rows("decoder_input_ids"), rows("negative_prompt_ids"), media};
}

// [step][row][V]
Json by_step(const std::vector<Tensor>& steps) {
  Json out = Json::array();
  for (const Tensor& step : steps) {
    Json rows = Json::array();
    for (int64_t r = 0; r < step.size(0); ++r) rows.push_back(narrow(step, 0, r, 1).to_vector());
    out.push_back(rows);
  }
  return out;
}

// [row][segment]
Json segments(const std::vector<Transcript>& transcripts) {
  Json out = Json::array();
  for (const Transcript& t : transcripts) {
    Json row = Json::array();
    for (const SpeechSegment& s : t.segments) {
      Json one = {{"start", s.start}, {"end", s.end}, {"tokens", s.tokens}};
      if (!s.token_times.empty()) one["token_timestamps"] = s.token_times;
      row.push_back(std::move(one));
    }
    out.push_back(std::move(row));
  }
  return out;
}

int run_generate(const GenerateOptions& o) {
  const int given = !o.input.empty() + !o.prompt.empty() + !o.words.empty();
  const std::string prompt = text_of_words(o.prompt.empty() ? o.words : std::vector<std::string>{o.prompt});
  if (given != 1 || (o.input.empty() && prompt.empty()))
    fail(ErrorCode::usage, "generate: give one of --input FILE and --prompt TEXT, and a TEXT that is not empty");
  const Model model = open_model(o.model, o.precision);
  const auto tokenizer = model.tokenizer();
  GenerationConfig config = generation_defaults(model);
  o.generation.apply(&config);
  GenerateInputs inputs;
  if (!o.input.empty()) {
    inputs = read_inputs(o.input);
  } else {
    require(tokenizer != nullptr, "generate: {} comes without a tokenizer; use --input", o.model);
    inputs.input_ids = {tokenizer->encode_ids(prompt)};
    inputs.attention_mask = {std::vector<int32_t>(inputs.input_ids[0].size(), 1)};
  }
  const GenerateOutputs out = generate(model, inputs, config);

  // Texts are those of the answers: without a decoder's prompt, which begins the row.
  const size_t skipped = static_cast<size_t>(out.prompt_length);
  const size_t start = skipped || !out.transcripts.empty() ? 0 : 1;  // a decoder's start token may be an end token too
  std::vector<std::string> texts;
  const int32_t timestamps = tokenizer && !out.transcripts.empty() ? tasks::timestamp_begin(*tokenizer).value_or(INT32_MAX) : INT32_MAX;
  if (tokenizer)
    for (const auto& row : out.sequences) {
      const auto ends = [&](int32_t id) { return std::find(config.eos_token_id.begin(), config.eos_token_id.end(), id) != config.eos_token_id.end(); };
      const auto first = row.begin() + static_cast<long>(skipped);
      std::vector<int32_t> ids(first, std::find_if(first + std::min<long>(static_cast<long>(start), row.end() - first), row.end(), ends));
      if (!out.transcripts.empty()) std::erase_if(ids, [&](int32_t id) { return id >= timestamps; });
      texts.push_back(tokenizer->decode(ids));
    }
  if (!o.json) {
    for (size_t i = 0; i < out.sequences.size(); ++i) print_text((tokenizer ? texts[i] : Json(out.sequences[i]).dump()) + "\n");
    return 0;
  }
  Json result = {{"sequences", out.sequences}};
  if (tokenizer) result["texts"] = texts;
  if (!out.sequences_scores.empty()) result["scores"] = out.sequences_scores;
  if (config.output_scores) result["step_scores"] = by_step(out.scores);
  if (config.output_logits) result["step_logits"] = by_step(out.logits);
  if (config.speech.return_timestamps.value_or(false) || config.speech.return_token_timestamps) result["segments"] = segments(out.transcripts);
  print_json(result);
  return 0;
}

}  // namespace

void add_generate(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("generate", "Continue token ids or a text, with all settings of GenerationConfig");
  auto o = std::make_shared<GenerateOptions>();
  c->add_option("model", o->model, "folder, .gguf file or name")->required()->type_name("MODEL");
  c->add_option("text", o->words, "the same as --prompt; several words are joined by spaces; - is standard input")->type_name("TEXT");
  c->add_option("--input", o->input, "safetensors file with input_ids [batch, tokens] or input_features, pixel_values; attention_mask, decoder_input_ids, negative_prompt_ids")
      ->type_name("FILE");
  c->add_option("--prompt", o->prompt, "text to continue; - is standard input")->type_name("TEXT");
  add_dtype_option(*c, o->precision);
  c->add_flag("--json", o->json, "print {\"sequences\": ..., \"texts\": ..., \"scores\": ...}");
  o->generation.add(*c);
  o->generation.add_speech(*c);
  c->callback([o, &action] { action = [o] { return run_generate(*o); }; });
}

}  // namespace mynah::app
