#include "search/folder_index.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <unordered_map>

#include "base/file.h"
#include "base/require.h"
#include "search/index_parts.h"

namespace mynah::search {
namespace fs = std::filesystem;
namespace {

constexpr uintmax_t kMostTextBytes = 4u << 20;
constexpr const char* kFolderTables = R"(
CREATE TABLE IF NOT EXISTS about(key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS file(id INTEGER PRIMARY KEY, path TEXT UNIQUE, size INTEGER, time INTEGER);
CREATE TABLE IF NOT EXISTS passage(id INTEGER PRIMARY KEY, file INTEGER, first INTEGER, last INTEGER, text TEXT, vector BLOB);
CREATE TABLE IF NOT EXISTS no_text(file INTEGER PRIMARY KEY);
CREATE INDEX IF NOT EXISTS passages_of_file ON passage(file);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(text, content='passage', content_rowid='id', tokenize='porter unicode61');
)";

// The question's words as FTS5 takes them, any of which may occur; words that say nothing are left out.
std::string match_expression(const std::string& question) {
  static const std::set<std::string> kCommon = {
      "a",   "an",   "and",  "are",  "as",    "at",    "be",    "by",    "can",   "did",  "do",   "does",
      "for", "from", "how",  "i",    "in",    "is",    "it",    "its",   "many",  "me",   "much", "my",
      "of",  "on",   "or",   "s",    "that",  "the",   "their", "there", "these", "they", "this", "to",
      "was", "were", "what", "when", "where", "which", "who",   "why",   "will",  "with", "you",  "your"};
  std::string out, word;
  const auto end_word = [&] {
    if (!word.empty() && !kCommon.contains(word)) out += (out.empty() ? "\"" : " OR \"") + word + "\"";
    word.clear();
  };
  for (const char c : question) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 128 || std::isalnum(u))
      word.push_back(static_cast<char>(u < 128 ? std::tolower(u) : u));
    else
      end_word();
  }
  end_word();
  return out;
}

}  // namespace

FolderIndex::FolderIndex(const fs::path& folder, const fs::path& store, const std::string& model)
    : folder_(existing_folder(folder)), database_(index_path(folder_, store, "")) {
  database_.execute(kFolderTables);
  keep_model(database_, model, "DELETE FROM words; DELETE FROM passage; DELETE FROM no_text; DELETE FROM file; DELETE FROM about;");
}

bool FolderIndex::empty() { return !Statement(database_, "SELECT 1 FROM file LIMIT 1").step(); }

void FolderIndex::forget(int64_t file) {
  Statement words(database_,
                  "INSERT INTO words(words, rowid, text) SELECT 'delete', id, text FROM passage WHERE file = ?");
  words.bind(0, file).run();
  Statement(database_, "DELETE FROM passage WHERE file = ?").bind(0, file).run();
  Statement(database_, "DELETE FROM no_text WHERE file = ?").bind(0, file).run();
  Statement(database_, "DELETE FROM file WHERE id = ?").bind(0, file).run();
}

bool FolderIndex::take_in(const FolderFile& file, const PassageLimits& limits, const Embed& embed) {
  const std::string text = read_text_file(file.path, kMostTextBytes);
  const bool is_text = looks_like_text(std::string_view(text).substr(0, 8192));
  const auto parts = is_text ? passages(text, limits) : std::vector<Passage>();
  std::vector<std::string> texts;
  for (const auto& part : parts) texts.push_back(part.text);
  const auto vectors = texts.empty() ? std::vector<std::vector<float>>() : embed(texts);
  Transaction all(database_);
  Statement old(database_, "SELECT id FROM file WHERE path = ?");
  old.bind(0, std::string_view(file.name));
  if (old.step()) forget(old.integer(0));
  // A file that is no text stands in the index too, so that it is not read again.
  Statement(database_, "INSERT INTO file(path, size, time) VALUES(?, ?, ?)")
      .bind(0, std::string_view(file.name))
      .bind(1, file.size)
      .bind(2, file.time)
      .run();
  const int64_t id = database_.last_id();
  if (!is_text) Statement(database_, "INSERT INTO no_text(file) VALUES(?)").bind(0, id).run();
  Statement add(database_, "INSERT INTO passage(file, first, last, text, vector) VALUES(?, ?, ?, ?, ?)");
  Statement words(database_, "INSERT INTO words(rowid, text) VALUES(?, ?)");
  for (size_t i = 0; i < parts.size(); ++i) {
    add.bind(0, id)
        .bind(1, parts[i].first_line)
        .bind(2, parts[i].last_line)
        .bind(3, std::string_view(parts[i].text))
        .bind(4, std::span<const float>(vectors[i]))
        .run();
    words.bind(0, database_.last_id()).bind(1, std::string_view(parts[i].text)).run();
  }
  all.commit();
  return is_text;
}

IndexChanges FolderIndex::update(const PassageLimits& limits, const Embed& embed,
                                 const std::function<void(int64_t, int64_t)>& progress) {
  IndexChanges changes;
  const auto [due, gone] = changes_since(database_, "SELECT id, path, size, time FROM file", files_below(folder_, kMostTextBytes, {}, &changes.skipped));
  if (!gone.empty()) {
    Transaction all(database_);
    for (const int64_t file : gone) forget(file);
    all.commit();
    changes.removed = static_cast<int64_t>(gone.size());
  }
  for (size_t i = 0; i < due.size(); ++i) {
    progress(static_cast<int64_t>(i), static_cast<int64_t>(due.size()));
    try {
      if (take_in(due[i], limits, embed)) ++changes.read;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::not_found && e.code() != ErrorCode::failure) throw;
      changes.skipped.push_back(e.what());
    }
  }
  progress(static_cast<int64_t>(due.size()), static_cast<int64_t>(due.size()));
  Statement count(database_, "SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM no_text), (SELECT count(*) FROM passage)");
  count.step();
  changes.no_text = count.integer(1);
  changes.files = count.integer(0) - changes.no_text;
  changes.passages = count.integer(2);
  return changes;
}

std::vector<Hit> FolderIndex::search(const std::string& question, const std::vector<float>& vector, int64_t most,
                                     double least) {
  constexpr int64_t kRanked = 50;
  constexpr double kSmooth = 60;
  struct Candidate {
    double score = 0;
    bool has_words = false;
  };
  std::unordered_map<int64_t, Candidate> candidates;
  if (const std::string words = match_expression(question); !words.empty()) {
    Statement match(database_, "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?");
    match.bind(0, std::string_view(words)).bind(1, kRanked);
    for (double rank = 1; match.step(); ++rank) candidates[match.integer(0)] = {1 / (kSmooth + rank), true};
  }
  std::unordered_map<int64_t, double> cosines;
  std::vector<std::pair<double, int64_t>> near;
  for (Statement all(database_, "SELECT id, vector FROM passage"); all.step();) {
    const auto other = all.floats(1);
    if (other.size() != vector.size()) continue;
    const double cosine = dot(vector, other);
    cosines[all.integer(0)] = cosine;
    if (cosine >= least) near.emplace_back(-cosine, all.integer(0));
  }
  std::sort(near.begin(), near.end());
  if (near.size() > kRanked) near.resize(kRanked);
  for (size_t i = 0; i < near.size(); ++i)
    candidates[near[i].second].score += 1 / (kSmooth + static_cast<double>(i) + 1);

  std::vector<std::pair<double, int64_t>> order;
  for (const auto& [id, candidate] : candidates) order.emplace_back(-candidate.score, id);
  std::sort(order.begin(), order.end());
  std::vector<Hit> hits;
  Statement fetch(
      database_,
      "SELECT file.path, first, last, text FROM passage JOIN file ON file.id = passage.file WHERE passage.id = ?");
  for (const auto& [score, id] : order) {
    if (static_cast<int64_t>(hits.size()) == most) break;
    fetch.bind(0, id);
    while (fetch.step())
      hits.push_back({fetch.text(0),
                      {fetch.integer(1), fetch.integer(2), fetch.text(3)},
                      -score,
                      cosines[id],
                      candidates[id].has_words});
  }
  return hits;
}

}  // namespace mynah::search
