// Where things are, from the environment.
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "mynah/error.h"
#include "store/names.h"
#include "store/store.h"

namespace mynah::store {
namespace fs = std::filesystem;
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_set(const char* name) {
  const std::string value = lower(variable(name));
  return !value.empty() && value != "0" && value != "false" && value != "no" && value != "off";
}

fs::path user_home() {
  if (const auto home = variable("HOME"); !home.empty()) return home;
  const passwd* user = ::getpwuid(::getuid());
  return user && user->pw_dir ? user->pw_dir : "/";
}

std::string token_in(const fs::path& path) {
  try {
    std::string text = read_text_file(path, 4096);
    text = text.substr(0, text.find_first_of("\r\n \t"));
    return text;
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

Settings Settings::from_environment() {
  Settings settings;
  const fs::path home = user_home();
  const std::string data = variable("XDG_DATA_HOME"), cache = variable("XDG_CACHE_HOME");
  settings.home = variable("MYNAH_HOME");
  if (settings.home.empty()) settings.home = (data.empty() ? home / ".local/share" : fs::path(data)) / "mynah";
  std::error_code error;
  settings.home = fs::absolute(settings.home, error);
  settings.hub_endpoint = variable("HF_ENDPOINT").empty() ? "https://huggingface.co" : variable("HF_ENDPOINT");
  const fs::path hub_home = variable("HF_HOME").empty()
                                ? (cache.empty() ? home / ".cache" : fs::path(cache)) / "huggingface"
                                : fs::path(variable("HF_HOME"));
  settings.hub_token = variable("HF_TOKEN");
  if (settings.hub_token.empty())
    settings.hub_token =
        token_in(variable("HF_TOKEN_PATH").empty() ? hub_home / "token" : fs::path(variable("HF_TOKEN_PATH")));
  settings.hub_cache = {variable("HF_HUB_CACHE").empty() ? hub_home / "hub" : fs::path(variable("HF_HUB_CACHE"))};
  settings.ollama_models =
      variable("OLLAMA_MODELS").empty() ? home / ".ollama/models" : fs::path(variable("OLLAMA_MODELS"));
  settings.offline = is_set("MYNAH_OFFLINE");
  return settings;
}

}  // namespace mynah::store
