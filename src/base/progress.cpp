#include "base/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

namespace mynah {
namespace {

constexpr double kRedrawSeconds = 0.1, kLogSeconds = 10;
constexpr double kSampleSeconds = 0.5, kRateSeconds = 5;  // the rate shown is that of the last five seconds
constexpr int kSmallestBar = 10, kLargestBar = 40;

void write_to_stderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n <= 0) return;  // a closed standard error is no reason to stop the work
    text.remove_prefix(static_cast<size_t>(n));
  }
}

int columns_of_stderr() {
  const char* terminal = std::getenv("TERM");
  if (!isatty(STDERR_FILENO) || (terminal && std::string_view(terminal) == "dumb")) return 0;
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Walks through UTF-8 text: the next code point, its columns, and where it ends.
struct Glyph {
  size_t end;
  int columns;
  bool printable;
};
Glyph next_glyph(std::string_view text, size_t at) {
  utf8proc_int32_t c = 0;
  const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                  static_cast<utf8proc_ssize_t>(text.size() - at), &c);
  if (n <= 0) return {at + 1, 1, false};
  const auto category = utf8proc_category(c);
  const bool hidden = category >= UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_CN;
  return {at + static_cast<size_t>(n), hidden ? 1 : utf8proc_charwidth(c), !hidden};
}

// A name may come from a model file: what could steer the terminal becomes a question mark.
std::string printable(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Glyph glyph = next_glyph(text, at);
    if (glyph.printable)
      out += text.substr(at, glyph.end - at);
    else
      out += '?';
    at = glyph.end;
  }
  return out;
}

int columns_of(std::string_view text) {
  int columns = 0;
  for (size_t at = 0; at < text.size();) {
    const Glyph glyph = next_glyph(text, at);
    columns += glyph.columns;
    at = glyph.end;
  }
  return columns;
}

// At most `columns` of the text, with dots for what is missing.
std::string shortened(const std::string& text, int columns) {
  if (columns_of(text) <= columns) return text;
  if (columns <= 3) return std::string(static_cast<size_t>(std::max(columns, 0)), '.');
  int used = 0;
  size_t at = 0;
  while (at < text.size()) {
    const Glyph glyph = next_glyph(text, at);
    if (used + glyph.columns > columns - 3) break;
    used += glyph.columns;
    at = glyph.end;
  }
  return text.substr(0, at) + "...";
}

std::string bar(double fraction, int width) {
  const int inner = width - 2, filled = static_cast<int>(fraction * inner);
  std::string out(static_cast<size_t>(inner), ' ');
  std::fill_n(out.begin(), filled, '=');
  if (filled < inner) out[static_cast<size_t>(filled)] = '>';
  return "[" + out + "]";
}

std::string three_digits(double value) {
  if (value < 9.995) return fmt::format("{:.2f}", value);
  if (value < 99.95) return fmt::format("{:.1f}", value);
  return fmt::format("{:.0f}", value);
}

}  // namespace

std::string format_bytes(int64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  while (value >= 999.5) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(value), kUnits[unit]);
}

std::string format_duration(double seconds) {
  if (!(seconds > 0)) return "0s";
  if (seconds > 1e8) return "ages";
  const int64_t s = std::llround(seconds);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
  return fmt::format("{}d{:02}h", s / 86400, s % 86400 / 3600);
}

Progress::Progress(std::string_view name, int64_t total, ProgressOptions options)
    : name_(printable(name)), options_(std::move(options)), total_(total) {
  if (!options_.write) options_.write = write_to_stderr;
  if (!options_.columns) options_.columns = columns_of_stderr;
  if (!options_.seconds) options_.seconds = steady_seconds;
  started_ = options_.seconds();
  // Short work shows nothing in a log but its end, and on a terminal no flicker.
  next_draw_ = started_ + (options_.columns() > 0 ? kRedrawSeconds : kLogSeconds);
}

Progress::~Progress() { end(false); }

void Progress::finish() { end(true); }

void Progress::start_at(int64_t done) {
  const std::lock_guard lock(mutex_);
  first_ = done;
  done_ = done;
}

void Progress::set_total(int64_t total) { total_ = total; }

void Progress::add(int64_t amount) {
  done_.fetch_add(amount, std::memory_order_relaxed);
  tick();
}

void Progress::set(int64_t done) {
  done_.store(done, std::memory_order_relaxed);
  tick();
}

void Progress::tick() {
  if (options_.quiet) return;
  const double now = options_.seconds();
  if (now < next_draw_.load(std::memory_order_relaxed)) return;
  const std::unique_lock lock(mutex_, std::try_to_lock);  // another thread that draws right now will do
  if (lock && !ended_ && now >= next_draw_.load(std::memory_order_relaxed)) draw(now);
}

void Progress::draw(double now) {
  const int columns = options_.columns();
  next_draw_ = now + (columns > 0 ? kRedrawSeconds : kLogSeconds);
  // The last column stays free: some terminals wrap when it is written.
  if (columns > 0)
    options_.write("\r" + live_line(now, std::max(1, columns - 1)) + "\x1b[K");
  else
    options_.write(live_line(now, 0) + "\n");
  drawn_ = columns > 0;
}

void Progress::end(bool complete) {
  if (options_.quiet) return;
  const std::lock_guard lock(mutex_);
  if (std::exchange(ended_, true)) return;
  const std::string line = last_line(options_.seconds(), complete);
  const int columns = options_.columns();
  if (columns > 0)
    options_.write((drawn_ ? "\r" : "") + shortened(line, columns - 1) + (drawn_ ? "\x1b[K\n" : "\n"));
  else
    options_.write(line + "\n");
}

double Progress::rate(double now, int64_t done) {
  if (samples_.empty()) samples_.emplace_back(started_, first_);
  while (samples_.size() > 1 && now - samples_[1].first >= kRateSeconds) samples_.erase(samples_.begin());
  const auto [then, before] = samples_.front();
  if (now - samples_.back().first >= kSampleSeconds) samples_.emplace_back(now, done);
  return now > then ? static_cast<double>(done - before) / (now - then) : 0;
}

std::string Progress::amount_text(int64_t amount) const {
  return options_.bytes ? format_bytes(amount) : fmt::format("{}", amount);
}

std::string Progress::rate_text(double per_second) const {
  per_second = std::clamp(per_second, 0.0, 1e18);
  if (options_.bytes) return format_bytes(std::llround(per_second)) + "/s";
  return three_digits(per_second) + " " + options_.noun + "/s";
}

// `width` 0: no limit and no bar. Where space is short the bar goes first, then time left, rate, amounts and the name.
std::string Progress::live_line(double now, int width) {
  const int64_t done = done_.load(std::memory_order_relaxed), total = total_.load(std::memory_order_relaxed);
  const double speed = rate(now, done);
  const double fraction = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 1;
  std::string amounts = amount_text(done);
  if (total >= 0) amounts += " / " + amount_text(total);
  if (!options_.bytes) amounts += " " + options_.noun;
  std::vector<std::string> parts;
  if (total >= 0) parts.push_back(fmt::format("{:3.0f}%", std::floor(fraction * 100)));
  parts.push_back(amounts);
  parts.push_back(rate_text(speed));
  if (total > done && speed > 0) parts.push_back(format_duration(static_cast<double>(total - done) / speed) + " left");

  const auto length = [&] {
    int columns = 0;
    for (const std::string& part : parts) columns += 2 + columns_of(part);
    return columns;
  };
  if (width > 0)
    while (parts.size() > 1 && columns_of(name_) + length() > width) parts.pop_back();
  std::string line = width > 0 ? shortened(name_, std::max(0, width - length())) : name_;
  const int space = std::min(kLargestBar, width - columns_of(line) - length() - 2);
  for (const std::string& part : parts) {
    line += "  " + part;
    if (total >= 0 && space >= kSmallestBar && &part == &parts.front()) line += "  " + bar(fraction, space);
  }
  return width > 0 ? shortened(line, width) : line;
}

std::string Progress::last_line(double now, bool complete) const {
  const int64_t done = done_.load(std::memory_order_relaxed), total = total_.load(std::memory_order_relaxed);
  const double seconds = now - started_;
  std::string line = name_ + "  " + (complete ? "" : "stopped at ") + amount_text(done);
  if (!complete && total >= 0) line += " / " + amount_text(total);
  if (!options_.bytes) line += " " + options_.noun;
  line += " in " + (seconds < 10 ? fmt::format("{:.1f}s", seconds) : format_duration(seconds));
  if (seconds >= 0.1 && done > first_) line += "  " + rate_text(static_cast<double>(done - first_) / seconds);
  return line;
}

}  // namespace mynah
