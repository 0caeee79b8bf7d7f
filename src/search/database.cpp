#include "search/database.h"

#include <sqlite3.h>

#include "base/require.h"

namespace mynah::search {

Database::Database(const std::filesystem::path& path) : where_(path.string()) {
  if (sqlite3_open(where_.c_str(), &handle_) != SQLITE_OK) {
    const std::string reason = handle_ ? sqlite3_errmsg(handle_) : "out of memory";
    sqlite3_close(handle_);
    fail(ErrorCode::failure, "{}: {}", where_, reason);
  }
  sqlite3_busy_timeout(handle_, 5000);
}

Database::~Database() { sqlite3_close(handle_); }

void Database::complain() const {
  const int code = sqlite3_errcode(handle_) & 0xff;
  const char* advice = code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? "; remove it and index the folder again" : "";
  fail(code == SQLITE_FULL   ? ErrorCode::does_not_fit
       : *advice             ? ErrorCode::integrity
       : code == SQLITE_BUSY ? ErrorCode::busy
                             : ErrorCode::failure,
       "{}: {}{}", where_, sqlite3_errmsg(handle_), advice);
}

void Database::execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) complain();
}

int64_t Database::last_id() const { return sqlite3_last_insert_rowid(handle_); }

Statement::Statement(Database& database, const char* sql) : database_(database) {
  if (sqlite3_prepare_v2(database.handle_, sql, -1, &statement_, nullptr) != SQLITE_OK) database.complain();
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int at, int64_t value) {
  if (sqlite3_bind_int64(statement_, at + 1, value) != SQLITE_OK) database_.complain();
  return *this;
}

Statement& Statement::bind(int at, std::string_view text) {
  if (sqlite3_bind_text(statement_, at + 1, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT) != SQLITE_OK)
    database_.complain();
  return *this;
}

Statement& Statement::bind(int at, std::span<const float> values) {
  if (sqlite3_bind_blob(statement_, at + 1, values.data(), static_cast<int>(values.size_bytes()), SQLITE_TRANSIENT) !=
      SQLITE_OK)
    database_.complain();
  return *this;
}

bool Statement::step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      sqlite3_reset(statement_);
      return false;
    default:
      database_.complain();
  }
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return bytes ? std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
}

std::span<const float> Statement::floats(int column) const {
  const auto* values = static_cast<const float*>(sqlite3_column_blob(statement_, column));
  return {values, static_cast<size_t>(sqlite3_column_bytes(statement_, column)) / sizeof(float)};
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.execute("ROLLBACK");
  } catch (...) {  // the error that ended the transaction has rolled it back already
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace mynah::search
