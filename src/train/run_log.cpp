#include "train/run_log.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <map>

#include "base/file.h"
#include "base/progress.h"
#include "base/require.h"

namespace mynah::train {
namespace {

// Rows of an earlier log up to a step. A last line that a kill cut short is dropped.
std::string kept_rows(const std::filesystem::path& path, int64_t step) {
  std::string kept;
  if (step == 0 || !std::filesystem::exists(path)) return kept;
  const std::string all = read_text_file(path);
  for (size_t at = 0; at < all.size();) {
    const size_t end = all.find('\n', at);
    if (end == std::string::npos) break;
    const Json row = Json::parse(all.substr(at, end - at), nullptr, false);
    if (row.is_object() && row.value("step", int64_t{0}) <= step && row.value("step", int64_t{0}) > 0) kept += all.substr(at, end + 1 - at);
    at = end + 1;
  }
  return kept;
}

Json only_finite(const Json& row) {
  Json out = row;
  for (auto& [key, value] : out.items())
    if (value.is_number_float() && !std::isfinite(value.get<double>())) value = nullptr;
  return out;
}

int columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

RunLog::RunLog(const std::filesystem::path& folder, int64_t resumed_step, int64_t total_steps, std::string_view unit)
    : path_(folder / "log.jsonl"),
      unit_(unit),
      events_(folder),
      total_steps_(total_steps),
      first_step_(resumed_step),
      terminal_(on_terminal()) {
  AtomicFile start(path_);
  start.write(kept_rows(path_, resumed_step));
  start.commit();
  file_.open(path_, std::ios::app | std::ios::binary);
  require(file_.good(), "{}: cannot write", path_.string());
}

bool RunLog::on_terminal() { return isatty(STDERR_FILENO) != 0; }

void RunLog::row(const Json& row) {
  errno = 0;
  file_ << only_finite(row).dump() << '\n' << std::flush;
  if (!file_.good())
    fail(errno == ENOSPC || errno == EDQUOT ? ErrorCode::does_not_fit : ErrorCode::failure, "{}: cannot write: {}", path_.string(), std::strerror(errno));
  std::map<std::string, double> values;
  for (const auto& [key, value] : row.items())
    if (value.is_number() && key != "step") values[key.starts_with("eval_") ? "eval/" + key.substr(5) : "train/" + key] = value.get<double>();
  events_.scalars(row.value("step", int64_t{0}), values);
}

void RunLog::progress(int64_t step, double loss, double learning_rate, int64_t units, double seconds) {
  if (first_units_ < 0) {
    first_units_ = units;
    first_seconds_ = seconds;
    first_step_ = step;
    next_draw_ = seconds + (terminal_ ? 0 : 2);
  }
  curve_.add(loss);
  if (seconds < next_draw_ && step < total_steps_) return;
  next_draw_ = seconds + (terminal_ ? 0.2 : 10);
  const double took = seconds - first_seconds_;
  std::string line = fmt::format("step {}/{}  loss {:.4f}  lr {:.3g}", step, total_steps_, loss, learning_rate);
  if (took > 0 && step > first_step_) {
    line += fmt::format("  {:.0f} {}/s", static_cast<double>(units - first_units_) / took, unit_);
    line += "  ETA " + format_duration(took / static_cast<double>(step - first_step_) * static_cast<double>(total_steps_ - step));
  }
  if (terminal_) {
    constexpr size_t kWidest = 40, kNarrowest = 8;
    const size_t room = static_cast<size_t>(columns()) - 1;
    if (line.size() + 2 + kNarrowest <= room) line += "  " + curve_.draw(std::min(kWidest, room - line.size() - 2));
    else line.resize(std::min(line.size(), room));
    fmt::print(stderr, "\r\x1b[K{}", line);
    drawn_ = true;
  } else {
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
}

void RunLog::note(const std::string& text) {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
  drawn_ = false;
  fmt::print(stderr, "{}\n", text);
}

void RunLog::finish() {
  if (drawn_) fmt::print(stderr, "\n");
  drawn_ = false;
}

}  // namespace mynah::train
