// Requests of Hugging Face's Inference API with the answers that it would give (tools/golden/tapes.py), replayed for every task.
#include <set>

#include "base/file.h"
#include "serve/served.h"
#include "tasks/registry.h"
#include "text/base64.h"

namespace mynah::test {
namespace {

const fs::path kGoldenFolder = fs::path(MYNAH_TEST_DATA) / "golden";

const std::vector<Json>& all_tapes() {
  static const std::vector<Json> all = [] {
    std::vector<Json> out;
    for (const Json& tape : Json::parse(read_text_file(kGoldenFolder / "tasks" / "tapes.json"))) out.push_back(tape);
    return out;
  }();
  return all;
}

std::string media(const std::string& name) { return read_text_file(kGoldenFolder / "media" / name); }

// The request's body with the files in place of their names.
Json filled(const Json& body) {
  if (body.is_object() && body.contains("$file")) return text::encode_base64(media(body["$file"].get<std::string>()));
  Json out = body;
  if (body.is_array())
    for (Json& item : out) item = filled(item);
  if (body.is_object())
    for (auto it = out.begin(); it != out.end(); ++it) it.value() = filled(it.value());
  return out;
}

// Where an answer is another one; empty if it is not.
std::string difference(const Json& got, const Json& wanted, const std::string& where) {
  const auto say = [&] { return where + ": " + got.dump().substr(0, 200) + ", expected " + wanted.dump().substr(0, 200); };
  if (wanted.is_string() && wanted.get<std::string>() == "$png") {
    const auto bytes = got.is_string() ? text::decode_base64(got.get<std::string>()) : std::nullopt;
    return bytes && bytes->starts_with("\x89PNG") ? "" : say();
  }
  if (wanted.is_number_integer()) return got == wanted ? "" : say();
  if (wanted.is_number()) {
    const double want = wanted.get<double>();
    return got.is_number() && std::abs(got.get<double>() - want) <= 1e-3 * std::max(1.0, std::abs(want)) ? "" : say();
  }
  if (wanted.is_array()) {
    if (!got.is_array() || got.size() != wanted.size()) return say();
    for (size_t i = 0; i < got.size(); ++i)
      if (auto d = difference(got[i], wanted[i], where + "[" + std::to_string(i) + "]"); !d.empty()) return d;
    return "";
  }
  if (wanted.is_object()) {
    if (!got.is_object() || got.size() != wanted.size()) return say();
    for (const auto& [key, value] : wanted.items()) {
      if (!got.contains(key)) return say();
      if (auto d = difference(got[key], value, where + "." + key); !d.empty()) return d;
    }
    return "";
  }
  return got == wanted ? "" : say();
}

class Tapes : public Served, public testing::WithParamInterface<std::string> {
 protected:
  void keep(const std::string& model) const {
    const fs::path folder = kGoldenFolder / "tasks" / model;
    if (service_->models.store().find(model) || !fs::is_directory(folder)) return;
    std::vector<store::NewFile> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      if (entry.is_regular_file()) files.push_back({fs::relative(entry.path(), folder).string(), "", entry.path(), {}, {}});
    service_->models.store().create(model, "test", "MIT", files);
  }
  static std::string model_of(const std::string& path) {
    std::string name = path.substr(path.starts_with("/pipeline/") ? path.rfind('/') + 1 : 8);
    return name.substr(0, name.find('/'));
  }
};

TEST_P(Tapes, AreReplayed) {
  for (const Json& tape : all_tapes()) {
    if (tape["task"] != GetParam()) continue;
    const std::string path = tape["path"].get<std::string>();
    keep(model_of(path));
    const bool raw = tape.contains("media");
    const std::string body = raw ? media(tape["media"].get<std::string>()) : filled(tape["body"]).dump();
    const std::string type = raw ? "" : "Content-Type: application/json\r\n";
    const Reply reply = ask(head("POST", path, type + "User-Agent: " + tape.value("user_agent", "unknown/None; hf_hub/1.0.0") + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") + body);
    EXPECT_EQ(reply.status, tape.value("status", 200)) << path << " " << reply.body.substr(0, 300);
    if (tape["answer"] == "$sound") {
      EXPECT_TRUE(reply.headers.at("content-type").starts_with("audio/")) << path;
      EXPECT_TRUE(reply.body.starts_with("fLaC") || reply.body.starts_with("RIFF")) << path;
    } else {
      EXPECT_EQ(reply.headers.at("content-type"), "application/json");
      EXPECT_EQ(difference(reply.json(), tape["answer"], path), "");
    }
  }
}

std::vector<std::string> taped_tasks() {
  std::set<std::string> all;
  for (const Json& tape : all_tapes()) all.insert(tape["task"].get<std::string>());
  return {all.begin(), all.end()};
}

INSTANTIATE_TEST_SUITE_P(Of, Tapes, testing::ValuesIn(taped_tasks()), [](const auto& one) {
  std::string name = one.param;
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
});

TEST(TapesOfTasks, EveryTaskHasSome) {
  const auto taped = taped_tasks();
  for (const TaskEntry* entry : tasks_entries()) EXPECT_NE(std::find(taped.begin(), taped.end(), entry->name), taped.end()) << entry->name;
}

}  // namespace
}  // namespace mynah::test
