#include "tasks/encode.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/log.h"
#include "base/require.h"
#include "base/unicode.h"
#include "mynah/autograd.h"
#include "nn/config.h"
#include "tasks/options.h"
#include "tasks/registry.h"

namespace mynah::tasks {
namespace {

// Whether the reference's tokenizer gives types of tokens: tokenizer_config.json says so, or its class.
bool gives_token_types(const Json& config, const std::string& model_type) {
  if (const auto it = config.find("model_input_names"); it != config.end() && it->is_array())
    return std::find(it->begin(), it->end(), "token_type_ids") != it->end();
  const std::string kind = nn::config_string(config, "tokenizer_class", "");
  constexpr std::array<std::string_view, 17> kStems = {"PreTrainedTokenizer", "Bert",  "Electra",  "MobileBert", "XLNet",   "Albert",     "Deberta", "Funnel", "LayoutLM",
                                                       "Splinter",            "Squeeze", "RemBert", "ConvBert",   "RoFormer", "MegatronBert", "Xmod",    "Nezha"};
  if (!kind.empty()) return std::any_of(kStems.begin(), kStems.end(), [&](std::string_view stem) { return kind.starts_with(stem); });
  return model_type != "gpt2";  // without a class, the model's own
}

bool takes_token_types(const OpenTask& task) {
  const Json& config = task.bundle().config;
  const std::string type = nn::config_string(config, "model_type", "");
  // Most networks have a table of types; these look types up among the words or count them.
  const bool has_them = (config.contains("type_vocab_size") && config["type_vocab_size"].is_number() && config["type_vocab_size"].get<double>() > 0) || type == "gpt2" || type == "xlnet";
  return has_them && gives_token_types(task.tokenizer_config, type);
}

Truncation truncation_of(const std::string& name) {
  if (name == "longest_first") return Truncation::longest_first;
  if (name == "only_first") return Truncation::only_first;
  if (name == "only_second") return Truncation::only_second;
  if (name == "do_not_truncate") return Truncation::none;
  fail(ErrorCode::usage, "truncation is \"{}\", expected true, false, longest_first, only_first, only_second or do_not_truncate", name);
}

nn::NamedTensors batch_inputs(const std::vector<const Encoding*>& rows, int32_t pad, bool types) {
  size_t length = 0;
  for (const Encoding* e : rows) length = std::max(length, e->ids.size());
  const Shape shape{static_cast<int64_t>(rows.size()), static_cast<int64_t>(length)};
  std::vector<int64_t> ids(rows.size() * length, pad), mask(ids.size(), 0), kinds(ids.size(), 0);
  for (size_t b = 0; b < rows.size(); ++b)
    for (size_t t = 0; t < rows[b]->ids.size(); ++t) {
      ids[b * length + t] = rows[b]->ids[t];
      mask[b * length + t] = 1;
      kinds[b * length + t] = rows[b]->type_ids[t];
    }
  nn::NamedTensors inputs{{"input_ids", Tensor::from(ids, shape)}, {"attention_mask", Tensor::from(mask, shape)}};
  if (types) inputs["token_type_ids"] = Tensor::from(kinds, shape);
  return inputs;
}

}  // namespace

void refuse_input(const OpenTask& task, const Json& input, const char* expected) {
  if (input.is_null()) fail(ErrorCode::usage, "{}: there is no input, expected {}", task.entry->name, expected);
  fail(ErrorCode::failure, "{}: an input is {}, expected {}", task.entry->name, input.dump(), expected);
}

bool is_text_object(const Json& input) { return input.is_object() && input.contains("text") && input["text"].is_string(); }

TextInput text_input(const OpenTask& task, const Json& input) {
  if (input.is_string()) return {input.get<std::string>(), std::nullopt};
  if (is_text_object(input)) {
    TextInput out{input["text"].get<std::string>(), std::nullopt};
    if (!input.contains("text_pair")) return out;
    if (input["text_pair"].is_string()) {
      out.pair = input["text_pair"].get<std::string>();
      return out;
    }
  }
  refuse_input(task, input, "a text or {\"text\": TEXT, \"text_pair\": TEXT}");
}

std::string one_text(const OpenTask& task, const Json& input) {
  if (!input.is_string()) refuse_input(task, input, "a text");
  return input.get<std::string>();
}

bool is_chat(const Json& input) {
  return input.is_array() && !input.empty() && std::all_of(input.begin(), input.end(), [](const Json& m) { return m.is_object() && m.contains("role") && m.contains("content"); });
}

EncodeOptions encode_options(const Json& options, Truncation always) {
  EncodeOptions out;
  out.add_special_tokens = boolean(options, "add_special_tokens", true);
  if (const auto it = options.find("max_length"); it != options.end() && !it->is_null()) out.max_length = integer(options, "max_length", 0, 1);
  out.truncation = out.max_length && always == Truncation::none ? Truncation::longest_first : always;
  if (const auto it = options.find("truncation"); it != options.end() && !it->is_null()) {
    if (it->is_boolean()) out.truncation = it->get<bool>() ? Truncation::longest_first : Truncation::none;
    else if (it->is_string()) out.truncation = truncation_of(it->get<std::string>());
    else fail(ErrorCode::usage, "truncation is {}, expected true, false or a strategy", it->dump());
  }
  return out;
}

namespace {

// Characters of a text, white space at its ends aside, that an encoding lacks.
int64_t lost_characters(const Encoding& e, const std::string& text, int32_t sequence) {
  const size_t from = text.find_first_not_of(" \t\n\r"), to = text.find_last_not_of(" \t\n\r");
  if (from == std::string::npos) return 0;
  const auto leading = static_cast<int64_t>(from), all = leading + static_cast<int64_t>(unicode::count_characters(std::string_view(text).substr(from, to - from + 1)));
  int64_t begin = all, end = leading;
  for (size_t i = 0; i < e.ids.size(); ++i) {
    if (e.sequence_ids[i] != sequence) continue;
    begin = std::min(begin, e.offsets[i].first);
    end = std::max(end, e.offsets[i].second);
  }
  return std::max<int64_t>(begin - leading, 0) + std::max<int64_t>(all - std::max(end, begin), 0);
}

}  // namespace

void warn_if_cut(const OpenTask& task, const Encoding& e, const TextInput& input, std::optional<int64_t> most, std::string_view advice) {
  if (!most || static_cast<int64_t>(e.ids.size()) < *most) return;
  const int64_t lost = lost_characters(e, input.text, 0) + (input.pair ? lost_characters(e, *input.pair, 1) : 0);
  if (lost > 0) warn("{}: a text is cut to {} tokens; {} of its characters are not read{}", task.entry->name, e.ids.size(), lost, advice);
}

Encoding encode(const OpenTask& task, const TextInput& input, EncodeOptions options) {
  options.overflow = false;
  std::vector<Encoding> first = input.pair ? task.tokenizer().encode_windows(input.text, *input.pair, options) : task.tokenizer().encode_windows(input.text, options);
  if (options.truncation != Truncation::none) warn_if_cut(task, first[0], input, options.max_length ? options.max_length : task.tokenizer().model_max_length());
  return std::move(first[0]);
}

void forward_encodings(const OpenTask& task, const std::vector<Encoding>& encodings, const TakeOutputs& take, int64_t most_tokens, const AddInputs& add) {
  NoGrad no_grad;
  const bundle::Bundle& b = task.bundle();
  require(!b.entry->text.beside_tables, "{}: {} reads a table beside each text; the task table-question-answering gives it one", task.entry->name, b.architecture());
  const bool types = takes_token_types(task);
  const auto pad = static_cast<int32_t>(nn::config_int(b.config, "pad_token_id", task.tokenizer().pad_id().value_or(0), -1));
  // A decoder that classifies finds the end of a row by the padding token; without one it reads rows one by one.
  const bool alone = b.network->causal_lm() == nullptr && !b.config.contains("pad_token_id") && b.network->kind() == nn::HeadKind::sequence_classification;
  std::vector<size_t> order(encodings.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) { return encodings[x].ids.size() < encodings[y].ids.size(); });
  constexpr size_t kMostRows = 64;
  for (size_t first = 0; first < order.size();) {
    std::vector<const Encoding*> rows;
    const size_t begin = first;
    while (first < order.size() && rows.size() < kMostRows) {
      const Encoding& e = encodings[order[first]];
      if (e.ids.empty()) fail(ErrorCode::failure, "{}: an input has no tokens", task.entry->name);
      if (!rows.empty() && (alone || static_cast<int64_t>((rows.size() + 1) * e.ids.size()) > most_tokens)) break;
      rows.push_back(&e);
      ++first;
    }
    nn::NamedTensors inputs = batch_inputs(rows, std::max(pad, 0), types);
    if (add) add(rows, &inputs);
    const nn::NamedTensors outputs = b.network->forward(inputs, {});
    for (size_t i = 0; i < rows.size(); ++i) take(order[begin + i], outputs, static_cast<int64_t>(i));
  }
}

const Tensor& hidden_states(const OpenTask& task, const nn::NamedTensors& outputs) {
  const auto it = outputs.find("last_hidden_state");
  if (it == outputs.end()) refuse_model(*task.entry, task.bundle());
  return it->second;
}

std::vector<float> row_values(const Tensor& batch, int64_t place, int64_t tokens) {
  std::array<int64_t, Shape::kMaxRank> dims{}, strides{};
  const int rank = batch.rank() - 1;
  for (int i = 0; i < rank; ++i) {
    dims[static_cast<size_t>(i)] = batch.size(i + 1);
    strides[static_cast<size_t>(i)] = batch.stride(i + 1);
  }
  if (tokens >= 0 && rank > 0) dims[0] = tokens;
  const auto n = static_cast<size_t>(rank);
  return batch.as_strided(Shape(std::span<const int64_t>(dims.data(), n)), Shape(std::span<const int64_t>(strides.data(), n)), place * batch.stride(0)).to_vector();
}

}  // namespace mynah::tasks
