#include "open_model.h"

#include <fmt/core.h>

#include <map>

#include "base/progress.h"
#include "base/require.h"
#include "cli.h"
#include "pull.h"
#include "store/store.h"
#include "train/lora.h"

namespace mynah::app {

void add_dtype_option(cli::App& command, Precision& precision, const std::string& name, const std::string& what) {
  static const std::map<std::string, Precision> kTypes = {{"f32", Precision::f32}, {"bf16", Precision::bf16}, {"int8", Precision::int8}, {"stored", Precision::stored}};
  command
      .add_option_function(
          name,
          [&precision, name](const std::string& text) {
            const auto type = kTypes.find(text);
            if (type == kTypes.end()) fail(ErrorCode::usage, "{}: \"{}\", expected f32, bf16, int8 or stored", name, text);
            precision = type->second;
          },
          what + " in: f32, bf16, int8 (weights and activations), or stored: as the file holds the weights")
      ->type_name("TYPE");
}

std::string model_path(const std::string& model) {
  const store::Store store;
  if (const auto found = store.resolve(model)) return found->path.string();
  try {
    pull_with_progress(store, model, false, false);
  } catch (const Error& error) {
    const std::string text = error.what();
    if (text.find(model) != std::string::npos) throw;
    fail(error.code(), "{}: {}", model, text);
  }
  const auto stored = store.resolve(model);
  if (!stored) fail(ErrorCode::not_found, "{}: pulled, but not found in the store", model);
  return stored->path.string();
}

void open_adapters_beside_their_bases() {
  bundle::open_adapters_by([](const std::filesystem::path& adapter, const LoadOptions& options, bundle::Parts parts) {
    return train::open_with_adapter(adapter, base_path(train::base_of_adapter(adapter), adapter.string()), options, parts);
  });
}

void refuse_same_place(const std::string& input, const std::string& output) {
  std::error_code none;
  if (std::filesystem::equivalent(input, output, none)) fail(ErrorCode::usage, "{}: input and output are the same; take another output", output);
}

std::string base_path(const std::string& base, const std::string& adapter) {
  try {
    return model_path(base);
  } catch (const Error& error) {
    fail(error.code(), "{}: its base model {} is not found here; give it as MODEL (merge: --model) ({})", adapter, base, error.what());
  }
}

Model open_model(const std::string& model, Precision precision) { return open_model(model, LoadOptions{.precision = precision}, true); }

Model open_model(const std::string& model, LoadOptions options, bool text) {
  options.name = model;
  return Model(bundle::open(model_path(model), options, {.network = true, .tokenizer = text}));
}

std::shared_ptr<bundle::Bundle> open_text(const std::string& model) { return bundle::open_text_only(model_path(model), model); }

}  // namespace mynah::app
