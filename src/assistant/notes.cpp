#include "assistant/notes.h"

#include <algorithm>

#include "base/file.h"
#include "base/require.h"

namespace mynah::assistant {

namespace {
constexpr size_t kMostBytes = 1 << 20;
}

std::vector<std::string> Notes::all() const {
  std::vector<std::string> notes;
  std::error_code error;
  if (!std::filesystem::exists(file_, error)) return notes;
  const std::string text = read_text_file(file_, kMostBytes);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) notes.push_back(std::move(line));
    at = end + 1;
  }
  return notes;
}

void Notes::add(const std::string& note) {
  std::string line = note;
  std::replace_if(line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, ' ');
  std::vector<std::string> notes = all();
  notes.push_back(std::move(line));
  write(notes);
}

std::string Notes::remove_last() {
  std::vector<std::string> notes = all();
  if (notes.empty()) return "";
  std::string last = std::move(notes.back());
  notes.pop_back();
  write(notes);
  return last;
}

size_t Notes::remove_all() {
  const size_t count = all().size();
  if (count > 0) write({});
  return count;
}

void Notes::write(const std::vector<std::string>& notes) const {
  std::string text;
  for (const std::string& note : notes) text += note + "\n";
  require(text.size() <= kMostBytes, "{}: notes of {} bytes, at most {} are kept; remove some", file_.string(), text.size(), kMostBytes);
  if (file_.has_parent_path()) std::filesystem::create_directories(file_.parent_path());
  AtomicFile file(file_);
  file.write(text);
  file.commit();
}

}  // namespace mynah::assistant
