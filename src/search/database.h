// A thin hand on SQLite: statements that are finalised, errors that are thrown.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace mynah::search {

class Database;

// A prepared statement. Parameters and columns are counted from 0.
class Statement {
 public:
  Statement(Database& database, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int at, int64_t value);
  Statement& bind(int at, std::string_view text);
  Statement& bind(int at, std::span<const float> values);  // as a blob
  // Goes to the next row; false at the end, after which the statement is ready to be bound again.
  bool step();
  void run() {
    while (step()) {
    }
  }

  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  std::span<const float> floats(int column) const;  // valid until the next step

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

class Database {
 public:
  // Opens or makes the file. Throws integrity for a file that is no database, failure with SQLite's reason otherwise.
  explicit Database(const std::filesystem::path& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const char* sql);
  int64_t last_id() const;
  [[noreturn]] void complain() const;

 private:
  friend class Statement;
  std::string where_;
  sqlite3* handle_ = nullptr;
};

// All or nothing: rolled back unless commit() was called.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) { database_.execute("BEGIN IMMEDIATE"); }
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace mynah::search
