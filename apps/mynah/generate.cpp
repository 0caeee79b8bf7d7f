// mynah generate MODEL (--input x.safetensors | --prompt TEXT | TEXT): token ids out, as transformers' generate() returns them.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/require.h"
#include "bundle/bundle.h"
#include "command.h"
#include "formats/safetensors.h"
#include "generation_options.h"
#include "open_model.h"

namespace mynah::app {
namespace {

struct Options {
  std::string model, input, prompt, dtype;
  std::vector<std::string> words;
  bool json = false;
  GenerationOptions generation;
};

std::vector<int64_t> integers(const Tensor& t, const std::string& name) {
  std::vector<int64_t> out;
  require(t.dtype() == DType::i64 || t.dtype() == DType::i32, "generate: {} is {}, expected i64", name, mynah::name(t.dtype()));
  for (int64_t i = 0; i < t.numel(); ++i) out.push_back(t.dtype() == DType::i64 ? t.data<int64_t>()[i] : t.data<int32_t>()[i]);
  return out;
}

// The rows of input_ids [B,T] without the tokens that attention_mask hides.
struct Prompts {
  std::vector<std::vector<int32_t>> padded, bare;
};
Prompts read_prompts(const std::string& path, int64_t vocabulary) {
  const auto file = formats::SafetensorsFile::open(path);
  for (const auto& info : file->tensors())
    require(info.name == "input_ids" || info.name == "attention_mask", "generate: input {} is not known; known: input_ids, attention_mask", info.name);
  const Tensor ids = file->tensor("input_ids");
  require(ids.rank() == 2 && ids.numel() > 0, "generate: input_ids has shape {}, expected [batch, tokens]", ids.shape().str());
  const auto values = integers(ids, "input_ids");
  std::vector<int64_t> mask(values.size(), 1);
  if (file->contains("attention_mask")) {
    const Tensor m = file->tensor("attention_mask");
    require(m.shape() == ids.shape(), "generate: attention_mask has shape {}, input_ids {}", m.shape().str(), ids.shape().str());
    mask = integers(m, "attention_mask");
  }
  Prompts out;
  const int64_t length = ids.size(1);
  for (int64_t b = 0; b < ids.size(0); ++b) {
    out.padded.emplace_back();
    out.bare.emplace_back();
    for (int64_t t = 0; t < length; ++t) {
      const int64_t id = values[static_cast<size_t>(b * length + t)];
      require(id >= 0 && id < vocabulary, "generate: input_ids holds {}, expected 0..{}", id, vocabulary - 1);
      out.padded.back().push_back(static_cast<int32_t>(id));
      if (mask[static_cast<size_t>(b * length + t)]) out.bare.back().push_back(static_cast<int32_t>(id));
    }
    require(!out.bare.back().empty(), "generate: row {} of attention_mask hides every token", b);
  }
  return out;
}

int act(const Options& o) {
  std::string prompt = o.prompt;
  for (const std::string& word : o.words) prompt += (prompt.empty() ? "" : " ") + word;
  const int given = !o.input.empty() + !o.prompt.empty() + !o.words.empty();
  if (given != 1 || (o.input.empty() && prompt.empty()))
    fail(ErrorCode::usage, "generate: give one of --input FILE and --prompt TEXT, and a TEXT that is not empty");
  const Model model = open_model(o.model, parse_precision(o.dtype));
  GenerationConfig config = generation_defaults(model);
  o.generation.apply(&config);
  Prompts prompts;
  if (!o.input.empty()) {
    prompts = read_prompts(o.input, model.bundle().causal_lm().vocabulary_size());
  } else {
    require(model.tokenizer() != nullptr, "generate: {} comes without a tokenizer; use --input", o.model);
    prompts.padded = prompts.bare = {model.tokenizer()->encode_ids(prompt)};
  }
  // max_length and min_length count the padded prompt, as the reference does.
  if (prompts.padded[0].size() > 0 && !config.max_new_tokens) {
    const int64_t width = static_cast<int64_t>(prompts.padded[0].size());
    config.max_new_tokens = config.max_length ? *config.max_length - width : 20;
    require(*config.max_new_tokens > 0, "generate: max_length is {}, the prompt has {} tokens already", *config.max_length, width);
  }
  const auto results = generate(model, prompts.bare, config);
  const int32_t pad = config.pad_token_id ? *config.pad_token_id : config.eos_token_id.empty() ? 0 : config.eos_token_id[0];
  size_t longest = 0;
  for (const auto& r : results) longest = std::max(longest, r.ids.size());
  Json sequences = Json::array(), texts = Json::array();
  for (size_t i = 0; i < results.size(); ++i) {
    std::vector<int32_t> row = prompts.padded[i / static_cast<size_t>(config.num_return_sequences)];
    row.insert(row.end(), results[i].ids.begin(), results[i].ids.end());
    row.resize(row.size() + longest - results[i].ids.size(), pad);
    sequences.push_back(row);
    texts.push_back(results[i].text);
  }
  if (!o.json) {
    for (size_t i = 0; i < results.size(); ++i) print_text((model.tokenizer() ? results[i].text : sequences[i].dump()) + "\n");
    return 0;
  }
  Json out = {{"sequences", sequences}};
  if (model.tokenizer()) out["texts"] = texts;
  print_json(out);
  return 0;
}

}  // namespace

void add_generate(CLI::App& parent, std::function<int()>& action) {
  CLI::App* c = parent.add_subcommand("generate", "Continue token ids or a text, with all settings of GenerationConfig");
  auto o = std::make_shared<Options>();
  c->add_option("model", o->model, "folder, .gguf file or name")->required()->type_name("MODEL");
  c->add_option("text", o->words, "the same as --prompt; several words are joined by spaces")->type_name("TEXT");
  c->add_option("--input", o->input, "safetensors file with input_ids [batch, tokens] and attention_mask")->type_name("FILE");
  c->add_option("--prompt", o->prompt, "text to continue")->type_name("TEXT");
  c->add_option("--dtype", o->dtype, "f32, or stored: as the file holds the weights")->type_name("TYPE");
  c->add_flag("--json", o->json, "print {\"sequences\": ..., \"texts\": ...}");
  o->generation.add(*c);
  c->callback([o, &action] { action = [o] { return act(*o); }; });
}

}  // namespace mynah::app
