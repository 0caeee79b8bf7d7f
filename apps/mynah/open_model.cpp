#include "open_model.h"

#include <fmt/core.h>

#include "base/progress.h"
#include "base/require.h"
#include "pull.h"
#include "store/store.h"

namespace mynah::app {

Precision parse_precision(const std::string& text) {
  if (text.empty()) return Precision::automatic;
  if (text == "f32") return Precision::f32;
  if (text == "stored") return Precision::stored;
  fail(ErrorCode::usage, "--dtype: \"{}\", expected f32 or stored", text);
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

Model open_model(const std::string& model, Precision precision) { return open_model(model, LoadOptions{precision, false}, true); }

Model open_model(const std::string& model, const LoadOptions& options, bool text) {
  return Model(bundle::open(model_path(model), options, {.network = true, .tokenizer = text}));
}

std::shared_ptr<bundle::Bundle> open_text(const std::string& model) { return bundle::open_text_only(model_path(model)); }

}  // namespace mynah::app
